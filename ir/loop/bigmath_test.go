package loop

import (
	"math"
	"math/big"
)

// bigMath computes elementary functions to some 60 digits, as a reference for f64: by Taylor series after reduction of the
// argument, and from one another.
type bigMath struct{}

const bigPrec = 260

func bf(x float64) *big.Float { return new(big.Float).SetPrec(bigPrec).SetFloat64(x) }

func badd(x, y *big.Float) *big.Float { return bf(0).Add(x, y) }
func bsub(x, y *big.Float) *big.Float { return bf(0).Sub(x, y) }
func bmul(x, y *big.Float) *big.Float { return bf(0).Mul(x, y) }
func bquo(x, y *big.Float) *big.Float { return bf(0).Quo(x, y) }
func bsqrt(x *big.Float) *big.Float   { return bf(0).Sqrt(x) }
func bneg(x *big.Float) *big.Float    { return bf(0).Neg(x) }

// series sums terms until they do not matter; next gives term n from the one before.
func series(term *big.Float, next func(t *big.Float, n float64) *big.Float) *big.Float {
	sum := bf(0).Set(term)
	for n := 1.0; term.Sign() != 0 && (sum.Sign() == 0 || term.MantExp(nil) > sum.MantExp(nil)-bigPrec); n++ {
		term = next(term, n)
		sum.Add(sum, term)
	}
	return sum
}

func (bigMath) exp(x *big.Float) *big.Float {
	m := max(0, x.MantExp(nil)+8)
	r := bf(0).SetMantExp(x, -m)
	y := series(bf(1), func(t *big.Float, n float64) *big.Float { return bquo(bmul(t, r), bf(n)) })
	for range m {
		y = bmul(y, y)
	}
	return y
}

// log is Halley's iteration on exp.
func (b bigMath) log(x *big.Float) *big.Float {
	m := bf(0)
	e := x.MantExp(m)
	f, _ := m.Float64()
	y := bf(math.Log(f))
	for range 4 {
		ey := b.exp(y)
		y = badd(y, bmul(bf(2), bquo(bsub(m, ey), badd(m, ey))))
	}
	if e == 0 {
		return y
	}
	return badd(y, bmul(bf(-float64(e)), b.log(bf(0.5))))
}

func (bigMath) atan(x *big.Float) *big.Float {
	const halvings = 5
	for range halvings {
		x = bquo(x, badd(bf(1), bsqrt(badd(bf(1), bmul(x, x)))))
	}
	z := bneg(bmul(x, x))
	sum := series(bf(1), func(t *big.Float, n float64) *big.Float { return bquo(bmul(bmul(t, z), bf(2*n-1)), bf(2*n+1)) })
	return bmul(bmul(sum, x), bf(1<<halvings))
}

// sinCos reduces by the nearest multiple of pi/2.
func (b bigMath) sinCos(x *big.Float) (sin, cos *big.Float) {
	half := bmul(b.atan(bf(1)), bf(2))
	q, _ := bquo(x, half).Float64()
	q = math.Round(q)
	r := bsub(x, bmul(bf(q), half))
	z := bneg(bmul(r, r))
	sin = series(r, func(t *big.Float, n float64) *big.Float { return bquo(bmul(t, z), bf(2*n*(2*n+1))) })
	cos = series(bf(1), func(t *big.Float, n float64) *big.Float { return bquo(bmul(t, z), bf(2*n*(2*n-1))) })
	switch int64(q) & 3 {
	case 1:
		return cos, bneg(sin)
	case 2:
		return bneg(sin), bneg(cos)
	case 3:
		return bneg(cos), sin
	}
	return sin, cos
}

func (b bigMath) erf(x *big.Float) *big.Float {
	z := bneg(bmul(x, x))
	sum := series(x, func(t *big.Float, n float64) *big.Float { return bquo(bmul(bmul(t, z), bf(2*n-1)), bf(n*(2*n+1))) })
	return bquo(bmul(bf(2), sum), bsqrt(bmul(bf(4), b.atan(bf(1)))))
}

// bigFuncs are the functions by the names of unaryMath.
var bigFuncs = map[string]func(x *big.Float) *big.Float{
	"Exp":   bigMath{}.exp,
	"Expm1": func(x *big.Float) *big.Float { return bsub(bigMath{}.exp(x), bf(1)) },
	"Log":   bigMath{}.log,
	"Log1p": func(x *big.Float) *big.Float { return bigMath{}.log(badd(x, bf(1))) },
	"Tanh": func(x *big.Float) *big.Float {
		e := bigMath{}.exp(bmul(bf(2), x))
		return bquo(bsub(e, bf(1)), badd(e, bf(1)))
	},
	"Sigmoid":  func(x *big.Float) *big.Float { return bquo(bf(1), badd(bf(1), bigMath{}.exp(bneg(x)))) },
	"Softplus": func(x *big.Float) *big.Float { return bigMath{}.log(badd(bf(1), bigMath{}.exp(x))) },
	"Erf":      bigMath{}.erf,
	"Sin":      bigSin,
	"Cos":      bigCos,
	"SinFar":   bigSin,
	"CosFar":   bigCos,
	"Tan":      func(x *big.Float) *big.Float { return bquo(bigSin(x), bigCos(x)) },
	"Atan":     bigMath{}.atan,
	"Asin": func(x *big.Float) *big.Float {
		return bigMath{}.atan(bquo(x, bsqrt(bmul(bsub(bf(1), x), badd(bf(1), x)))))
	},
	"Acos": func(x *big.Float) *big.Float {
		return bmul(bf(2), bigMath{}.atan(bsqrt(bquo(bsub(bf(1), x), badd(bf(1), x)))))
	},
	"Sinh": func(x *big.Float) *big.Float {
		e := bigMath{}.exp(x)
		return bquo(bsub(e, bquo(bf(1), e)), bf(2))
	},
	"Cosh": func(x *big.Float) *big.Float {
		e := bigMath{}.exp(x)
		return bquo(badd(e, bquo(bf(1), e)), bf(2))
	},
	"Asinh": func(x *big.Float) *big.Float {
		return bigMath{}.log(badd(x, bsqrt(badd(bmul(x, x), bf(1)))))
	},
	"Acosh": func(x *big.Float) *big.Float {
		return bigMath{}.log(badd(x, bsqrt(bsub(bmul(x, x), bf(1)))))
	},
	"Atanh": func(x *big.Float) *big.Float {
		return bquo(bigMath{}.log(bquo(badd(bf(1), x), bsub(bf(1), x))), bf(2))
	},
}

func bigSin(x *big.Float) *big.Float { s, _ := bigMath{}.sinCos(x); return s }
func bigCos(x *big.Float) *big.Float { _, c := bigMath{}.sinCos(x); return c }

// exactly reports whether the big function can be asked for x: not at the ends of domains, nor where 1+x would need more
// digits than it has.
func exactly(name string, x float64) bool {
	a := math.Abs(x)
	limits := map[string]float64{"Tanh": 40, "Erf": 6, "Sin": 1 << 45, "Cos": 1 << 45, "Tan": 1 << 45, "SinFar": 1 << 45, "CosFar": 1 << 45}
	limit, ok := limits[name]
	if !ok {
		limit = 740
		if name == "Log" {
			limit = math.Inf(1)
		}
	}
	if name == "Softplus" && x < -100 {
		return false
	}
	return a < limit && (name == "Log" && x > 0 || a > 0x1p-60) && a != 1
}
