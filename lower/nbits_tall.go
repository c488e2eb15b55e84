package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

const (
	tallCols = 4    // rows of the weights that are unpacked together
	tallRows = 64   // rows of A that share them
	tallK    = 1024 // elements of them that are unpacked at a time, to stay in L1
)

// tallTile is a parallel iteration of the product for many rows: some rows of the weights are unpacked into
// local memory, part by part, and multiplied with rows of A in register tiles. Vectors run along K.
type tallTile struct {
	*matMulNBits
	*K
	w, sums     *loop.Buf
	first, last *loop.Value   // rows of A
	n           []*loop.Value // rows of the weights; those past the end repeat the last one
	part        int64         // elements unpacked at a time
}

func (v *matMulNBits) tall(c *Ctx, op *ir.Op) error {
	chunks, groups := v.m.CeilDiv(tallRows), ir.Const((v.n+tallCols-1)/tallCols)
	s := v.step(op, "matmul_nbits_tall")
	s.Par, s.NsPerIter = chunks.Mul(groups), float64(v.k*tallCols*tallRows)/32
	s.Build = func(k *K) {
		t := &tallTile{matMulNBits: v, K: k, part: max(tallK, v.block)}
		t.w = k.Local("w", tensor.F32, tallCols*t.stride())
		t.sums = k.Local("sums", tensor.F32, tallCols*tallRows)
		k.Parallel(func(i *loop.Value) {
			co := k.Unflatten(i, chunks, groups)
			t.first = k.MulInt(co[0], tallRows)
			t.last = k.MinIdx(k.AddInt(t.first, tallRows), k.Dim(v.m))
			t.n = nil
			for j := range int64(tallCols) {
				t.n = append(t.n, k.MinIdx(k.AddInt(k.MulInt(co[1], tallCols), j), k.Int(v.n-1)))
			}
			t.run()
		})
	}
	return c.Kernel(s)
}

// stride is the distance of unpacked rows, which keeps them out of each other's cache sets.
func (t *tallTile) stride() int64 { return t.part + 16 }

func (t *tallTile) run() {
	t.Range(t.Int(0), t.Sub(t.last, t.first), 1, func(r *loop.Value) {
		for j, n := range t.n {
			x := t.Float(loop.Scalar(tensor.F32), 0)
			if t.bias != nil {
				x = t.number(t.bias, n)
			}
			t.Store(t.sums, t.AddInt(t.MulInt(r, tallCols), int64(j)), x)
		}
	})
	t.Range(t.Int(0), t.Int(t.k), t.part, func(lo *loop.Value) {
		hi := t.MinIdx(t.AddInt(lo, t.part), t.Int(t.k))
		for j := range t.n {
			t.unpack(j, lo, hi)
		}
		rows := int64(2)
		if t.Level.Regs >= 32 {
			rows = 4
		}
		t.Range(t.first, t.last, rows, func(r *loop.Value) { t.multiply(r, rows, lo, hi) })
	})
	t.Range(t.first, t.last, 1, func(r *loop.Value) {
		for j, n := range t.n {
			x := t.Load(t.sums, t.AddInt(t.MulInt(t.Sub(r, t.first), tallCols), int64(j)), 1)
			t.Store(t.Buf(t.out), t.Add(t.MulInt(r, t.matMulNBits.n), n), t.toMemory(x, t.out.Type.DType))
		}
	})
}

// unpack writes the elements [lo, hi) of weights row j, scaled, to local memory.
func (t *tallTile) unpack(j int, lo, hi *loop.Value) {
	size := t.Int(t.block)
	t.Range(t.Div(lo, size), t.Div(t.AddInt(hi, t.block-1), size), 1, func(b *loop.Value) {
		at := t.Add(t.MulInt(t.n[j], t.blocks), b)
		zero, scale := t.zero(t.K, t.n[j], b), t.number(t.scales, at)
		from := t.MulInt(b, t.block)
		to := t.Sub(t.AddInt(from, int64(j)*t.stride()), lo)
		t.vectorLoop(t.Int(0), t.MinIdx(size, t.Sub(hi, from)), t.lanes(t.K), func(e *loop.Value, lanes int) {
			w := t.weights(t.K, t.Add(t.MulInt(at, t.block), e), zero, lanes)
			t.Store(t.w, t.Add(to, e), t.Mul(w, t.Broadcast(scale, lanes)))
		})
	})
}

// multiply adds to the sums of the rows from r on what the elements [lo, hi) contribute.
func (t *tallTile) multiply(r *loop.Value, rows int64, lo, hi *loop.Value) {
	row := make([]*loop.Value, rows)
	for i := range row {
		row[i] = t.MinIdx(t.AddInt(r, int64(i)), t.AddInt(t.last, -1))
	}
	count := len(row) * tallCols
	step := func(e *loop.Value, acc []*loop.Value, lanes int) []*loop.Value {
		w := make([]*loop.Value, tallCols)
		for j := range w {
			w[j] = t.Load(t.w, t.AddInt(t.Sub(e, lo), int64(j)*t.stride()), lanes)
		}
		next := make([]*loop.Value, count)
		for i := range row {
			x := t.fromMemory(t.Load(t.Buf(t.a), t.Add(t.MulInt(row[i], t.k), e), lanes), t.a.Type.DType)
			for j := range w {
				next[i*tallCols+j] = t.FMA(x, w[j], acc[i*tallCols+j])
			}
		}
		return next
	}
	lanes := t.Level.Lanes(4)
	mid := t.Add(lo, t.MulInt(t.Div(t.Sub(hi, lo), t.Int(int64(lanes))), int64(lanes)))
	wide := t.For(lo, mid, int64(lanes), repeat(count, t.Float(loop.Vec(tensor.F32, lanes), 0)), func(e *loop.Value, acc []*loop.Value) []*loop.Value { return step(e, acc, lanes) })
	sums := make([]*loop.Value, count)
	for i := range sums {
		sums[i] = t.Reduce(loop.OpReduceAdd, wide[i])
	}
	sums = t.For(mid, hi, 1, sums, func(e *loop.Value, acc []*loop.Value) []*loop.Value { return step(e, acc, 1) })
	// All old sums are read before any is written: the last row may be there more than once.
	at, total := make([]*loop.Value, count), make([]*loop.Value, count)
	for i := range row {
		for j := range tallCols {
			at[i*tallCols+j] = t.AddInt(t.MulInt(t.Sub(row[i], t.first), tallCols), int64(j))
		}
	}
	for i := range total {
		total[i] = t.Add(t.Load(t.sums, at[i], 1), sums[i])
	}
	for i := range total {
		t.Store(t.sums, at[i], total[i])
	}
}
