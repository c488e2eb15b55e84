package lower

import (
	"fmt"
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func randomRules() map[string]rule {
	return map[string]rule{
		"RandomUniform": lowerUniform, "RandomUniformLike": lowerUniform, "RandomNormal": lowerNormal, "RandomNormalLike": lowerNormal,
		"Bernoulli": lowerBernoulli, "Multinomial": lowerMultinomial, "Dropout": lowerDropout,
	}
}

// draws is a kernel whose elements each get two random numbers of [0, 1), f64: the vector form of the
// generator in package hostop, which describes it.
type draws struct {
	op        *ir.Op
	ins, outs []*ir.Value
	ns        float64 // per element, besides the generator
	// numbers, if not nil, holds the random numbers: those of another generator.
	numbers *ir.Value
	// put computes and stores the elements from e on.
	put func(k *K, e *loop.Value, lanes int, u1, u2 *loop.Value)
}

func (c *Ctx) draw(d draws) error {
	var key uint64
	var seed *ir.Value // of the run, where the op has none
	if d.numbers != nil {
		d.ins = append(d.ins, d.numbers)
	}
	switch s := d.op.Attrs["seed"].(type) {
	case float64:
		key = hostop.FloatKey(s)
	case int64: // of Dropout, which brings its numbers
	default:
		var err error
		if seed, err = c.seedOfRun(d.op); err != nil {
			return err
		}
		d.ins = append(d.ins, seed)
	}
	n := ir.Product(d.outs[0].Type.Shape)
	chunk := ir.Const(elemChunk / 8)
	return c.Kernel(Step{
		Op: d.op, Name: "random", Ins: d.ins, Outs: d.outs, Par: n.CeilDiv(elemChunk / 8), NsPerIter: elemChunk / 8 * (6 + d.ns), Bytes: bytesOf(d.outs[0]),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				u64 := loop.Scalar(tensor.U64)
				k0, k1 := k.Bits(u64, key&math.MaxUint32), k.Bits(u64, key>>32)
				if seed != nil {
					v := k.Bitcast(k.Load(k.Buf(seed), k.Int(0), 1), u64)
					k0, k1 = k.And(v, k.Bits(u64, math.MaxUint32)), k.Shr(v, k.Bits(u64, 32))
				}
				lo := k.MulDim(i, chunk)
				k.vectorLoop(lo, k.MinIdx(k.Add(lo, k.Dim(chunk)), k.Dim(n)), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					if d.numbers != nil {
						u := k.Load(k.Buf(d.numbers), e, lanes)
						d.put(k, e, lanes, u, u)
						return
					}
					at := k.Bitcast(k.Add(k.Broadcast(e, lanes), k.steps(lanes)), loop.Vec(tensor.U64, lanes))
					w := k.philox(k.Broadcast(k0, lanes), k.Broadcast(k1, lanes), at)
					d.put(k, e, lanes, k.unitOf(w[0], w[1]), k.unitOf(w[2], w[3]))
				})
			})
		},
	})
}

// seedOfRun emits the step that draws a seed for each run.
func (c *Ctx) seedOfRun(op *ir.Op) (*ir.Value, error) {
	seed := c.M.NewOp("Seed", nil, 1, nil, op.Origin)
	seed.Results[0].Name = fmt.Sprintf("seed of %s", op.Origin.Node)
	seed.Results[0].Type = ir.TensorType(tensor.I64)
	was := c.fallback
	c.fallback = true // no op of the model
	err := c.host(seed)
	c.fallback = was
	return seed.Results[0], err
}

// philox is hostop.Philox on 32-bit words in 64-bit lanes, for the counters (at, 0).
func (k *K) philox(k0, k1, at *loop.Value) [4]*loop.Value {
	t := at.Type
	num := func(v uint64) *loop.Value { return k.Bits(t, v) }
	low := func(v *loop.Value) *loop.Value { return k.And(v, num(math.MaxUint32)) }
	high := func(v *loop.Value) *loop.Value { return k.Shr(v, num(32)) }
	c := [4]*loop.Value{low(at), high(at), num(0), num(0)}
	for range 10 {
		p, q := k.Mul(c[0], num(0xD2511F53)), k.Mul(c[2], num(0xCD9E8D57))
		c = [4]*loop.Value{k.Xor(k.Xor(high(q), c[1]), k0), low(q), k.Xor(k.Xor(high(p), c[3]), k1), low(p)}
		k0, k1 = low(k.Add(k0, num(0x9E3779B9))), low(k.Add(k1, num(0xBB67AE85)))
	}
	return c
}

// unitOf makes a number of [0, 1) of 53 bits from two words.
func (k *K) unitOf(a, b *loop.Value) *loop.Value {
	t := a.Type
	m := k.Or(k.Shl(k.Shr(a, k.Bits(t, 5)), k.Bits(t, 26)), k.Shr(b, k.Bits(t, 6)))
	f := k.Convert(k.Bitcast(m, loop.Vec(tensor.I64, t.Lanes)), tensor.F64)
	return k.Mul(f, k.Float(f.Type, 0x1p-53))
}

// floatResult reports whether op makes floats that kernels can store.
func floatResult(op *ir.Op) bool {
	t := op.Results[0].Type
	return t.Rank() >= 0 && compiled(t.DType) && t.DType.IsFloat()
}

// storeFloat rounds f64 to the type of out.
func (k *K) storeFloat(out *ir.Value, at, v *loop.Value) {
	d := out.Type.DType
	k.Store(k.Buf(out), at, k.toMemory(k.Convert(v, computeType(d)), d))
}

func lowerUniform(c *Ctx, op *ir.Op) error {
	if !floatResult(op) {
		return errDecline
	}
	out := op.Results[0]
	low, high := op.Attrs.Float("low", 0), op.Attrs.Float("high", 1)
	return c.draw(draws{op: op, outs: []*ir.Value{out}, ns: 1, put: func(k *K, e *loop.Value, _ int, u, _ *loop.Value) {
		k.storeFloat(out, e, k.Add(k.Float(u.Type, low), k.Mul(u, k.Float(u.Type, high-low))))
	}})
}

// lowerNormal compiles normal random numbers by the method of Box and Muller.
func lowerNormal(c *Ctx, op *ir.Op) error {
	if !floatResult(op) {
		return errDecline
	}
	out := op.Results[0]
	mean, scale := op.Attrs.Float("mean", 0), op.Attrs.Float("scale", 1)
	return c.draw(draws{op: op, outs: []*ir.Value{out}, ns: 20, put: func(k *K, e *loop.Value, _ int, u1, u2 *loop.Value) {
		num := func(v float64) *loop.Value { return k.Float(u1.Type, v) }
		r := k.Unary(loop.OpSqrt, k.Mul(num(-2), k.Log(k.Sub(num(1), u1))))
		z := k.Mul(r, k.Cos(k.Mul(num(2*math.Pi), u2)))
		k.storeFloat(out, e, k.Add(num(mean), k.Mul(num(scale), z)))
	}})
}

func lowerBernoulli(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	d := out.Type.DType
	if x.Type.Rank() < 0 || !compiled(x.Type.DType) || !x.Type.DType.IsFloat() || !compiled(d) {
		return errDecline
	}
	return c.draw(draws{op: op, ins: []*ir.Value{x}, outs: []*ir.Value{out}, ns: 1, put: func(k *K, e *loop.Value, lanes int, u, _ *loop.Value) {
		p := k.Convert(k.fromMemory(k.Load(k.Buf(x), e, lanes), x.Type.DType), tensor.F64)
		hit := k.Cmp(loop.LT, u, p)
		if d != tensor.Bool {
			t := &loop.Value{Type: loop.Vec(computeType(d), lanes)}
			hit = k.Select(hit, k.num(t, 1), k.num(t, 0))
		}
		k.Store(k.Buf(out), e, k.toMemory(hit, d))
	}})
}

// lowerDropout compiles Dropout in training mode, which may be an operand of the run.
func lowerDropout(c *Ctx, op *ir.Op) error {
	x, ratio, mode, out, mask := op.Operands[0], op.Operand(1), op.Operand(2), op.Results[0], op.Result(1)
	d := x.Type.DType
	if x.Type.Rank() < 0 || !compiled(d) || !d.IsFloat() {
		return errDecline
	}
	ins, outs := []*ir.Value{x}, []*ir.Value{out}
	for _, v := range []*ir.Value{ratio, mode} {
		if v != nil {
			if !ir.Product(v.Type.Shape).Is(1) || !compiled(v.Type.DType) {
				return errDecline
			}
			ins = append(ins, v)
		}
	}
	if ratio != nil {
		err := c.learn(learning{op: op, ins: []*ir.Value{ratio}, fault: "its ratio is outside [0, 1]", build: func(k *K) ([]*loop.Value, *loop.Value) {
			r := k.scalarAs(ratio, tensor.F64)
			fits := k.And(k.Cmp(loop.GE, r, k.num(r, 0)), k.Cmp(loop.LE, r, k.num(r, 1)))
			return nil, k.flag(k.Not(fits))
		}})
		if err != nil {
			return err
		}
	}
	if mask != nil {
		outs = append(outs, mask)
	}
	var numbers *ir.Value
	if seed, ok := op.Attrs["seed"].(int64); ok {
		var err error
		if numbers, err = c.twisted(op, uint32(seed), ir.Product(x.Type.Shape)); err != nil {
			return err
		}
	}
	return c.draw(draws{op: op, ins: ins, outs: outs, ns: 2, numbers: numbers, put: func(k *K, e *loop.Value, lanes int, u, _ *loop.Value) {
		f64 := loop.Scalar(tensor.F64)
		r := k.Float(f64, 0.5)
		if ratio != nil {
			r = k.scalarAs(ratio, tensor.F64)
		}
		train := k.Cmp(loop.NE, k.Int(0), k.Int(0))
		if mode != nil {
			train = k.fromMemory(k.Load(k.Buf(mode), k.Int(0), 1), tensor.Bool)
		}
		r = k.Select(train, r, k.Float(f64, 0))
		scale := k.Convert(k.Div(k.Float(f64, 1), k.Sub(k.Float(f64, 1), r)), computeType(d))
		stay := k.Not(k.Cmp(loop.LT, u, k.Broadcast(r, lanes)))
		v := k.Mul(k.fromMemory(k.Load(k.Buf(x), e, lanes), d), k.Broadcast(scale, lanes))
		k.Store(k.Buf(out), e, k.toMemory(k.Select(stay, v, k.num(v, 0)), d))
		if mask != nil {
			k.Store(k.Buf(mask), e, k.toMemory(stay, tensor.Bool))
		}
	}})
}

// lowerMultinomial sums the probabilities of each row up, then counts for each sample the classes whose sums
// do not exceed its part of the whole.
func lowerMultinomial(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	d := x.Type.DType
	if x.Type.Rank() != 2 || !compiled(d) || !d.IsFloat() || !isIndex(out) {
		return errDecline
	}
	batch, classes, n := x.Type.Shape[0], x.Type.Shape[1], out.Type.Shape[1]
	if err := c.checkSize(op, classes, 1, "the number of classes"); err != nil {
		return err
	}
	sums := c.Scratch(ir.TensorType(tensor.F64, x.Type.Shape...))
	err := c.Kernel(Step{
		Op: op, Name: "running_sums", Ins: []*ir.Value{x}, Outs: []*ir.Value{sums}, Par: batch, NsPerIter: perChunk(classes, 10), Bytes: bytesOf(x),
		Build: func(k *K) {
			load := func(at *loop.Value) *loop.Value {
				return k.Convert(k.fromMemory(k.Load(k.Buf(x), at, 1), d), tensor.F64)
			}
			k.Parallel(func(b *loop.Value) {
				row, f64 := k.MulDim(b, classes), loop.Scalar(tensor.F64)
				top := k.For(k.Int(0), k.Dim(classes), 1, []*loop.Value{k.Float(f64, math.Inf(-1))}, func(j *loop.Value, a []*loop.Value) []*loop.Value {
					return []*loop.Value{k.Max(a[0], load(k.Add(row, j)))}
				})[0]
				k.For(k.Int(0), k.Dim(classes), 1, []*loop.Value{k.Float(f64, 0)}, func(j *loop.Value, a []*loop.Value) []*loop.Value {
					s := k.Add(a[0], k.Exp(k.Sub(load(k.Add(row, j)), top)))
					k.Store(k.Buf(sums), k.Add(row, j), s)
					return []*loop.Value{s}
				})
			})
		},
	})
	if err != nil {
		return err
	}
	return c.draw(draws{op: op, ins: []*ir.Value{sums}, outs: []*ir.Value{out}, ns: perChunk(classes, 1), put: func(k *K, e *loop.Value, lanes int, u, _ *loop.Value) {
		for j := range lanes {
			i, v := k.AddInt(e, int64(j)), u
			if lanes > 1 {
				v = k.Extract(u, j)
			}
			row := k.MulDim(k.Div(i, k.Dim(n)), classes)
			last := k.Dim(classes.AddInt(-1))
			part := k.Mul(v, k.Load(k.Buf(sums), k.Add(row, last), 1))
			at := k.For(k.Int(0), last, 1, []*loop.Value{k.Int(0)}, func(p *loop.Value, a []*loop.Value) []*loop.Value {
				return []*loop.Value{k.Add(a[0], k.flag(k.Cmp(loop.LE, k.Load(k.Buf(sums), k.Add(row, p), 1), part)))}
			})[0]
			k.Store(k.Buf(out), i, k.Convert(at, out.Type.DType))
		}
	}})
}
