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
	nmsCells
}

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
	proto.reserve(c, parts, longest)
	err := c.Kernel(Step{
		Op: op, Name: "nms", Ins: ins, Outs: []*ir.Value{proto.vals, proto.idx, counts, proto.taken, proto.book}, Par: parts, NsPerIter: chunkNs, Bytes: bytesOf(scores),
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
	limit := s.scalar(s.overlap, 0)
	s.divide(i, found, func(e *loop.Value) [4]*loop.Value {
		_, cand := h.get(e)
		return s.box(corners, cand)
	})
	return s.For(s.Int(0), found, 1, []*loop.Value{s.Int(0), s.Int(0)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
		stay := func() []*loop.Value { return a }
		return s.If(s.Cmp(loop.LT, a[0], most), func() []*loop.Value {
			_, cand := h.get(e)
			box := s.box(corners, cand)
			cell := s.cellOf(box)
			return s.If(s.free(cell, box, limit), func() []*loop.Value {
				rows := s.keep(cell, a[1], box)
				v, _ := h.get(e)
				h.put(a[0], v, cand)
				return []*loop.Value{s.AddInt(a[0], 1), rows}
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
