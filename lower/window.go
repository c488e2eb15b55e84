package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// window is the geometry of a two-dimensional sliding window: convolution and pooling.
type window struct {
	h, w, oh, ow   ir.Dim // input and output sizes
	kh, kw         int64  // kernel
	sh, sw, dh, dw int64  // strides and dilations
	top, left      int64  // padding before
	bottom, right  int64  // padding after
	ceil           bool   // the last windows may end past the padding (ceil_mode)
}

// newWindow reads the attributes of a convolution or pooling with a kernel of kh x kw.
func newWindow(op *ir.Op, kh, kw int64, h, w, oh, ow ir.Dim) (window, error) {
	if a := op.Attrs.Str("auto_pad", "NOTSET"); a != "NOTSET" && a != "VALID" {
		s, d := op.Attrs.Ints("strides", []int64{1, 1}), op.Attrs.Ints("dilations", []int64{1, 1})
		if len(s) != 2 || len(d) != 2 {
			return window{}, errDecline
		}
		win := window{h: h, w: w, oh: oh, ow: ow, kh: kh, kw: kw, sh: s[0], sw: s[1], dh: d[0], dw: d[1]}
		return win, win.autoPad(a)
	}
	s := op.Attrs.Ints("strides", []int64{1, 1})
	d := op.Attrs.Ints("dilations", []int64{1, 1})
	p := op.Attrs.Ints("pads", []int64{0, 0, 0, 0})
	if len(s) != 2 || len(d) != 2 || len(p) != 4 {
		return window{}, errDecline
	}
	return window{h: h, w: w, oh: oh, ow: ow, kh: kh, kw: kw, sh: s[0], sw: s[1], dh: d[0], dw: d[1],
		top: p[0], left: p[1], bottom: p[2], right: p[3], ceil: op.Attrs.Int("ceil_mode", 0) != 0}, nil
}

// autoPad computes the padding of SAME_UPPER and SAME_LOWER, which needs constant sizes.
func (w *window) autoPad(mode string) error {
	if !w.h.IsConst() || !w.w.IsConst() || !w.oh.IsConst() || !w.ow.IsConst() {
		return errDecline
	}
	split := func(in, out, k, s, d int64) (before, after int64) {
		total := max(0, (out-1)*s+(k-1)*d+1-in)
		if mode == "SAME_LOWER" {
			return total - total/2, total / 2
		}
		return total / 2, total - total/2
	}
	w.top, w.bottom = split(w.h.Value(), w.oh.Value(), w.kh, w.sh, w.dh)
	w.left, w.right = split(w.w.Value(), w.ow.Value(), w.kw, w.sw, w.dw)
	return nil
}

// pointwise reports whether each output pixel needs just the input pixel in its place.
func (w *window) pointwise() bool {
	return w.kh == 1 && w.kw == 1 && w.sh == 1 && w.sw == 1 && w.top == 0 && w.left == 0 && w.bottom == 0 && w.right == 0
}

// khRange is the range of kernel rows that fall on the input for output row oh.
func (w *window) khRange(k *K, oh *loop.Value) (lo, hi *loop.Value) {
	if w.top == 0 && w.rowsInside() {
		return k.Int(0), k.Int(w.kh)
	}
	start := k.AddInt(k.MulInt(oh, w.sh), -w.top) // input row of kernel row 0
	up := func(x *loop.Value) *loop.Value {       // ceil(max(x,0)/dh)
		return k.Div(k.AddInt(k.MaxIdx(x, k.Int(0)), w.dh-1), k.Int(w.dh))
	}
	return up(k.Sub(k.Int(0), start)), k.MinIdx(k.Int(w.kh), up(k.Sub(k.Dim(w.h), start)))
}

// rowsInside reports whether the windows of all output rows certainly end inside the input.
func (w *window) rowsInside() bool {
	if w.bottom == 0 && !w.h.IsConst() && w.oh.Equal(w.h) {
		return w.kh == 1
	}
	return w.h.IsConst() && w.oh.IsConst() && (w.oh.Value()-1)*w.sh-w.top+(w.kh-1)*w.dh < w.h.Value()
}

// colsInside is rowsInside for columns, the left side included.
func (w *window) colsInside() bool {
	if w.left != 0 {
		return false
	}
	if w.ow.IsConst() && w.w.IsConst() {
		return (w.ow.Value()-1)*w.sw+(w.kw-1)*w.dw < w.w.Value()
	}
	return w.right == 0 && !w.ceil
}

// tiles covers a row of output pixels with tiles of at most n. body gets the number of pixels, the
// first pixel, and which kernel columns of which pixels fall on the input. Columns must be constant
// sizes, or all inside.
func (w *window) tiles(k *K, n int, body func(n int, ow0 *loop.Value, valid func(p int, kw int64) bool)) {
	all := func(int, int64) bool { return true }
	if !w.ow.IsConst() {
		full := k.Div(k.Dim(w.ow), k.Int(int64(n)))
		k.Range(k.Int(0), k.MulInt(full, int64(n)), int64(n), func(x *loop.Value) { body(n, x, all) })
		if n > 1 {
			k.binaryRows(n, k.Rem(k.Dim(w.ow), k.Int(int64(n))), k.MulInt(full, int64(n)), func(m int, x *loop.Value) { body(m, x, all) })
		}
		return
	}
	ow := w.ow.Value()
	for x := int64(0); x < ow; {
		m := min(int64(n), ow-x)
		run := int64(0) // full tiles from x on that are inside
		for m == int64(n) && x+(run+1)*m <= ow && w.inside(x+run*m, m) {
			run++
		}
		if run > 1 {
			k.Range(k.Int(x), k.Int(x+run*m), m, func(i *loop.Value) { body(n, i, all) })
			x += run * m
			continue
		}
		at := x
		body(int(m), k.Int(x), func(p int, kw int64) bool { return w.valid(at+int64(p), kw) })
		x += m
	}
}

// valid reports whether kernel column kw of output column ow falls on the input.
func (w *window) valid(ow, kw int64) bool {
	if w.colsInside() {
		return true
	}
	iw := ow*w.sw - w.left + kw*w.dw
	return iw >= 0 && iw < w.w.Value()
}

func (w *window) inside(x, n int64) bool {
	return w.valid(x, 0) && w.valid(x+n-1, 0) && w.valid(x, w.kw-1) && w.valid(x+n-1, w.kw-1)
}

// padColumns copies x, whose last dimensions are columns and then inner elements, into a scratch with
// the window's padding left and right of each row, so that all columns are inside. It serves widths
// that are known only at run time.
func (w *window) padColumns(c *Ctx, op *ir.Op, x *ir.Value, rows ir.Dim, inner int64) (*ir.Value, error) {
	// The last window may end past the declared padding (ceil_mode): pad by what the output needs.
	need := w.ow.AddInt(-1).MulInt(w.sw).AddInt((w.kw-1)*w.dw + 1)
	wide := need.Max(w.w.AddInt(w.left))
	p := c.Scratch(ir.TensorType(x.Type.DType, rows, wide, ir.Const(inner)))
	left, old := w.left, w.w
	w.w, w.left, w.right = wide, 0, 0
	return p, c.Kernel(Step{
		Op: op, Name: "pad_cols", Ins: []*ir.Value{x}, Outs: []*ir.Value{p}, Par: rows, NsPerIter: 500, Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			src, dst := k.Buf(x), k.Buf(p)
			k.Parallel(func(r *loop.Value) {
				from, to := k.MulDim(r, old.MulInt(inner)), k.MulDim(r, wide.MulInt(inner))
				fill := func(lo, hi *loop.Value) {
					k.vectorLoop(lo, hi, k.Level.Lanes(4), func(i *loop.Value, lanes int) {
						k.Store(dst, k.Add(to, i), k.Bits(loop.Vec(x.Type.DType, lanes), 0))
					})
				}
				l := k.Int(left * inner)
				end := k.Dim(old.AddInt(left).MulInt(inner))
				fill(k.Int(0), l)
				k.vectorLoop(l, end, k.Level.Lanes(4), func(i *loop.Value, lanes int) {
					k.Store(dst, k.Add(to, i), k.Load(src, k.AddInt(k.Add(from, i), -left*inner), lanes))
				})
				fill(end, k.Dim(wide.MulInt(inner)))
			})
		},
	})
}
