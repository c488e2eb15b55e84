package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// nms is NonMaxSuppression: for each class of each batch, the boxes by falling score, without those that
// overlap one that was taken.
type nms struct {
	*K
	boxes, scores          *ir.Value
	most, overlap, least   *ir.Value // optional scalars: boxes per class, IoU and score thresholds
	vals, idx              *ir.Value // the candidates of each class, then those taken
	batches, classes, size ir.Dim
	center                 bool
	// taken has the boxes that each class took so far in rows of nmsRow, of each row first the low y of all
	// boxes, then the low x, the high y, the high x and the area: a candidate is held against a vector of
	// boxes at a time. The rows of a class have rowsLen elements.
	taken   *ir.Value
	rowsLen ir.Dim
}

// nmsRow is how many boxes a row has; a multiple of all lengths of vectors.
const nmsRow = 64

func lowerNMS(c *Ctx, op *ir.Op) error {
	boxes, scores, out := op.Operands[0], op.Operands[1], op.Results[0]
	if boxes.Type.DType != tensor.F32 || scores.Type.DType != tensor.F32 || boxes.Type.Rank() != 3 || scores.Type.Rank() != 3 {
		return errDecline
	}
	proto := nms{boxes: boxes, scores: scores, most: op.Operand(2), overlap: op.Operand(3), least: op.Operand(4),
		batches: scores.Type.Shape[0], classes: scores.Type.Shape[1], size: scores.Type.Shape[2], center: op.Attrs.Int("center_point_box", 0) != 0}
	ins := []*ir.Value{boxes, scores}
	for i, v := range []*ir.Value{proto.most, proto.overlap, proto.least} {
		if v == nil {
			continue
		}
		if !ir.Product(v.Type.Shape).Is(1) || i == 0 && !isIndex(v) || i > 0 && v.Type.DType != tensor.F32 {
			return errDecline
		}
		ins = append(ins, v)
	}
	c.checkEqual(op, boxes.Type.Shape[0], proto.batches, "the numbers of batches of boxes and scores")
	c.checkEqual(op, boxes.Type.Shape[1], proto.size, "the numbers of boxes and scores")
	c.checkEqual(op, boxes.Type.Shape[2], ir.Const(4), "the sizes of boxes and 4")
	parts := proto.batches.Mul(proto.classes)
	proto.vals, proto.idx = c.Scratch(scores.Type), c.Scratch(ir.TensorType(tensor.I64, scores.Type.Shape...))
	counts := c.Scratch(ir.TensorType(tensor.I64, parts))
	longest := proto.size
	if most, ok := c.ints(proto.most); ok && len(most) == 1 && most[0] >= 0 {
		longest = longest.Min(ir.Const(most[0]))
	}
	proto.rowsLen = longest.CeilDiv(nmsRow).MulInt(5 * nmsRow)
	proto.taken = c.Scratch(ir.TensorType(tensor.F32, parts, proto.rowsLen))
	err := c.Kernel(Step{
		Op: op, Name: "nms", Ins: ins, Outs: []*ir.Value{proto.vals, proto.idx, counts, proto.taken}, Par: parts, NsPerIter: chunkNs, Bytes: bytesOf(scores),
		Build: func(k *K) {
			s := proto
			s.K = k
			k.Parallel(func(i *loop.Value) { k.Store(k.Buf(counts), i, s.class(i)) })
		},
	})
	if err != nil {
		return err
	}
	starts, err := c.startsOf(op, counts, out.Type.Shape[0])
	if err != nil {
		return err
	}
	return c.Kernel(Step{
		Op: op, Name: "nms_write", Ins: []*ir.Value{proto.idx, counts, starts}, Outs: []*ir.Value{out}, Par: parts, NsPerIter: 100, Bytes: bytesOf(out),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, proto.batches, proto.classes)
				row := k.Load(k.Buf(starts), i, 1)
				k.Range(k.Int(0), k.Load(k.Buf(counts), i, 1), 1, func(e *loop.Value) {
					to := k.MulInt(k.Add(row, e), 3)
					box := k.Load(k.Buf(proto.idx), k.Add(k.MulDim(i, proto.size), e), 1)
					for j, v := range []*loop.Value{co[0], co[1], box} {
						k.Store(k.Buf(out), k.AddInt(to, int64(j)), v)
					}
				})
			})
		},
	})
}

// scalar reads an optional scalar.
func (s *nms) scalar(v *ir.Value, def float64) *loop.Value {
	if v == nil {
		return s.Float(loop.Scalar(tensor.F32), def)
	}
	return s.Load(s.Buf(v), s.Int(0), 1)
}

// class puts the boxes that part i takes, best first, where its candidates were, and gives their number.
func (s *nms) class(i *loop.Value) *loop.Value {
	base, n := s.MulDim(i, s.size), s.Dim(s.size)
	h := &heap{argSearch: &argSearch{K: s.K, x: s.scores}, vals: s.Buf(s.vals), idx: s.Buf(s.idx), base: base, stride: s.Int(1), levels: s.logOf(n)}
	least := s.scalar(s.least, 0)
	found := s.For(s.Int(0), n, 1, []*loop.Value{s.Int(0)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
		v := s.Load(s.Buf(s.scores), s.Add(base, e), 1)
		yes := s.Cmp(loop.EQ, v, v)
		if s.least != nil {
			yes = s.Cmp(loop.GT, v, least)
		}
		return s.If(yes, func() []*loop.Value {
			h.put(a[0], v, e)
			return []*loop.Value{s.AddInt(a[0], 1)}
		}, func() []*loop.Value { return []*loop.Value{a[0]} })
	})[0]
	h.build(found)
	h.sort(found)
	most := s.Int(0)
	if s.most != nil {
		most = s.param(s.most, 0)
	}
	corners := s.MulInt(s.MulDim(s.Div(i, s.Dim(s.classes)), s.size), 4)
	rows := s.MulDim(i, s.rowsLen)
	limit := s.scalar(s.overlap, 0)
	return s.For(s.Int(0), found, 1, []*loop.Value{s.Int(0)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
		stay := func() []*loop.Value { return []*loop.Value{a[0]} }
		return s.If(s.Cmp(loop.LT, a[0], most), func() []*loop.Value {
			_, cand := h.get(e)
			box := s.box(corners, cand)
			return s.If(s.free(rows, a[0], box, limit), func() []*loop.Value {
				s.keep(rows, a[0], box)
				v, _ := h.get(e)
				h.put(a[0], v, cand)
				return []*loop.Value{s.AddInt(a[0], 1)}
			}, stay)
		}, stay)
	})[0]
}

// box gives the low and the high corner of box i: y or x first, it makes no difference.
func (s *nms) box(corners, i *loop.Value) [4]*loop.Value {
	var v [4]*loop.Value
	for j := range v {
		v[j] = s.Load(s.Buf(s.boxes), s.Add(corners, s.AddInt(s.MulInt(i, 4), int64(j))), 1)
	}
	if s.center {
		half := s.Float(loop.Scalar(tensor.F32), 0.5)
		for j := range 2 {
			at, r := v[j], s.Mul(v[j+2], half)
			v[j], v[j+2] = s.Sub(at, r), s.Add(at, r)
		}
		return v
	}
	for j := range 2 {
		v[j], v[j+2] = s.Min(v[j], v[j+2]), s.Max(v[j], v[j+2])
	}
	return v
}

// area is the size of a box.
func (s *nms) area(v [4]*loop.Value) *loop.Value {
	return s.Mul(s.Sub(v[2], v[0]), s.Sub(v[3], v[1]))
}

// keep adds box number n to the rows that start at base. A row is begun with boxes of no extent, which
// meet none.
func (s *nms) keep(base, n *loop.Value, box [4]*loop.Value) {
	b, lanes := s.Buf(s.taken), s.Level.Lanes(4)
	in := s.Rem(n, s.Int(nmsRow))
	row := s.Add(base, s.MulInt(s.Sub(n, in), 5))
	s.If(s.Cmp(loop.EQ, in, s.Int(0)), func() []*loop.Value {
		s.Range(s.Int(0), s.Int(5*nmsRow), int64(lanes), func(j *loop.Value) {
			s.Store(b, s.Add(row, j), s.Float(loop.Vec(tensor.F32, lanes), 0))
		})
		return nil
	}, func() []*loop.Value { return nil })
	for j, v := range append(box[:], s.area(box)) {
		s.Store(b, s.Add(s.Add(row, in), s.Int(int64(j*nmsRow))), v)
	}
}

// free reports whether none of the n boxes in the rows that start at base overlaps box. Most pairs of boxes
// do not meet at all, so a row is looked through for that first, without a division.
func (s *nms) free(base, n *loop.Value, box [4]*loop.Value, limit *loop.Value) *loop.Value {
	lanes := s.Level.Lanes(4)
	own, top := s.Broadcast(s.area(box), lanes), s.Broadcast(limit, lanes)
	for j := range box {
		box[j] = s.Broadcast(box[j], lanes)
	}
	zero := s.Float(loop.Vec(tensor.F32, lanes), 0)
	none := func() []*loop.Value { return []*loop.Value{s.Int(0)} }
	end := s.Div(s.AddInt(n, nmsRow-1), s.Int(nmsRow))
	hit := s.For(s.Int(0), end, 1, []*loop.Value{s.Int(0)}, func(r *loop.Value, hit []*loop.Value) []*loop.Value {
		return s.If(s.Cmp(loop.EQ, hit[0], s.Int(0)), func() []*loop.Value {
			row := s.Add(base, s.MulInt(r, 5*nmsRow))
			meet := s.any(row, func(at *loop.Value) *loop.Value { return s.Cmp(loop.GT, s.meet(box, at), zero) })
			return s.If(meet, func() []*loop.Value {
				return []*loop.Value{s.flag(s.any(row, func(at *loop.Value) *loop.Value {
					inter := s.meet(box, at)
					union := s.Sub(s.Add(own, s.Load(s.Buf(s.taken), s.AddInt(at, 4*nmsRow), lanes)), inter)
					some := s.And(s.Cmp(loop.GT, inter, zero), s.Cmp(loop.GT, union, zero))
					return s.And(some, s.Cmp(loop.GT, s.Div(inter, union), top))
				}))}
			}, none)
		}, func() []*loop.Value { return hit })
	})
	return s.Cmp(loop.EQ, hit[0], s.Int(0))
}

// meet gives the areas that box has in common with the boxes of a row at at.
func (s *nms) meet(box [4]*loop.Value, at *loop.Value) *loop.Value {
	lanes := s.Level.Lanes(4)
	zero := s.Float(loop.Vec(tensor.F32, lanes), 0)
	other := func(j int) *loop.Value { return s.Load(s.Buf(s.taken), s.AddInt(at, int64(j*nmsRow)), lanes) }
	side := func(j int) *loop.Value {
		return s.Max(s.Sub(s.Min(box[j+2], other(j+2)), s.Max(box[j], other(j))), zero)
	}
	return s.Mul(side(0), side(1))
}

// any reports whether test is true of any of the boxes of a row.
func (s *nms) any(row *loop.Value, test func(at *loop.Value) *loop.Value) *loop.Value {
	lanes := s.Level.Lanes(4)
	t := loop.Vec(tensor.F32, lanes)
	found := s.For(s.Int(0), s.Int(nmsRow), int64(lanes), []*loop.Value{s.Float(t, 0)}, func(j *loop.Value, f []*loop.Value) []*loop.Value {
		return []*loop.Value{s.Select(test(s.Add(row, j)), s.Float(t, 1), f[0])}
	})
	return s.Cmp(loop.GT, s.Reduce(loop.OpReduceMax, found[0]), s.Float(loop.Scalar(tensor.F32), 0))
}
