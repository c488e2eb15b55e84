package opt

import (
	"fmt"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Where no rule helps, an operation is done lane by lane: operands go to memory of the kernel, scalars are computed
// from there, and the result is loaded. Predicates are bytes there. The buffers are shared by all such operations.

// unrolled is up to how many lanes each gets code of its own.
const unrolled = 8

// memory is the buffer number i for elements of d.
func (e *expander) memory(i int, d tensor.DType) *loop.Buf {
	if d == tensor.Bool {
		d = tensor.U8
	}
	name := fmt.Sprintf("lanes%d_%v", i, d)
	m := e.local[name]
	if m == nil {
		m = e.b.Local(name, d, int64(e.t.VecBytes/d.Size()))
		e.local[name] = m
	}
	return m
}

// put stores a vector or scalar at element at.
func (e *expander) put(m *loop.Buf, at, v *loop.Value) {
	if v.Type.Elem == tensor.Bool {
		v = toBytes(e.b, v)
	}
	e.b.Store(m, at, v)
}

// fetch loads elements of type t from at on.
func (e *expander) fetch(m *loop.Buf, at *loop.Value, t loop.Type) *loop.Value {
	v := e.b.Load(m, at, t.Lanes)
	if t.Elem == tensor.Bool {
		return fromBytes(e.b, v)
	}
	return v
}

// operand gives lane k of v: from memory, into which v is put here, unless all lanes are one.
func (e *expander) operand(i int, v *loop.Value) func(k *loop.Value) *loop.Value {
	one := loop.Scalar(v.Type.Elem)
	switch def := e.defs[v]; {
	case v.Type.Lanes == 1:
		return func(*loop.Value) *loop.Value { return v }
	case def != nil && def.Op == loop.OpBroadcast:
		return func(*loop.Value) *loop.Value { return def.Args[0] }
	case def != nil && def.Op == loop.OpConst:
		return func(*loop.Value) *loop.Value { return e.b.Bits(one, def.Imm) }
	}
	m := e.memory(i, v.Type.Elem)
	e.put(m, e.b.Int(0), v)
	return func(k *loop.Value) *loop.Value { return e.fetch(m, k, one) }
}

func (e *expander) each(n int, body func(k *loop.Value)) {
	if n > unrolled {
		e.b.Range(e.b.Int(0), e.b.Int(int64(n)), 1, body)
		return
	}
	for k := range n {
		body(e.b.Int(int64(k)))
	}
}

// collect computes each lane of a vector of type t.
func (e *expander) collect(t loop.Type, lane func(k *loop.Value) *loop.Value) *loop.Value {
	m := e.memory(3, t.Elem)
	e.each(t.Lanes, func(k *loop.Value) { e.put(m, k, lane(k)) })
	return e.fetch(m, e.b.Int(0), t)
}

// byLane are the operations that are not the same operation on the lanes.
var byLane = map[loop.Op]func(e *expander, in *loop.Instr) *loop.Value{
	loop.OpGather: gatherLanes, loop.OpLoadMask: loadLanes, loop.OpStoreMask: storeLanes, loop.OpBroadcast: broadcastLanes,
	loop.OpIota: iotaLanes, loop.OpExtract: extractLane, loop.OpShuffle: shuffleLanes,
	loop.OpLoad: nil, loop.OpStore: nil, loop.OpBitcast: nil,
}

// lanes does in lane by lane; nil without instructions means that it cannot.
func (e *expander) lanes(in *loop.Instr) *loop.Value {
	f, own := byLane[in.Op]
	switch {
	case own && f != nil:
		return f(e, in)
	case own || in.Results[0].Type.Lanes == 1:
		return nil
	}
	args := make([]func(k *loop.Value) *loop.Value, len(in.Args))
	for i, a := range in.Args {
		args[i] = e.operand(i, a)
	}
	t := in.Results[0].Type
	return e.collect(t, func(k *loop.Value) *loop.Value {
		one := &loop.Instr{Op: in.Op, Pred: in.Pred}
		for _, a := range args {
			one.Args = append(one.Args, a(k))
		}
		return e.b.Emit(one, loop.Scalar(t.Elem))
	})
}

func gatherLanes(e *expander, in *loop.Instr) *loop.Value {
	idx := e.operand(0, in.Args[0])
	return e.collect(in.Results[0].Type, func(k *loop.Value) *loop.Value { return e.b.Load(in.Buf, idx(k), 1) })
}

func loadLanes(e *expander, in *loop.Instr) *loop.Value {
	t, mask := in.Results[0].Type, e.operand(0, in.Args[1])
	zero := e.b.Bits(loop.Scalar(t.Elem), 0)
	return e.collect(t, func(k *loop.Value) *loop.Value {
		return e.b.If(mask(k), func() []*loop.Value {
			return []*loop.Value{e.b.Load(in.Buf, e.b.Add(in.Args[0], k), 1)}
		}, func() []*loop.Value { return []*loop.Value{zero} })[0]
	})
}

func storeLanes(e *expander, in *loop.Instr) *loop.Value {
	v, mask := e.operand(0, in.Args[1]), e.operand(1, in.Args[2])
	e.each(in.Args[1].Type.Lanes, func(k *loop.Value) {
		e.b.If(mask(k), func() []*loop.Value {
			e.b.Store(in.Buf, e.b.Add(in.Args[0], k), v(k))
			return nil
		}, nil)
	})
	return nil
}

func broadcastLanes(e *expander, in *loop.Instr) *loop.Value {
	return e.collect(in.Results[0].Type, func(*loop.Value) *loop.Value { return in.Args[0] })
}

func iotaLanes(e *expander, in *loop.Instr) *loop.Value {
	t := in.Results[0].Type
	return e.collect(t, func(k *loop.Value) *loop.Value { return e.b.Convert(k, t.Elem) })
}

func extractLane(e *expander, in *loop.Instr) *loop.Value {
	return e.operand(0, in.Args[0])(e.b.Int(int64(in.Imm)))
}

func shuffleLanes(e *expander, in *loop.Instr) *loop.Value {
	x, y := e.operand(0, in.Args[0]), e.operand(1, in.Args[1])
	t, n := in.Results[0].Type, in.Args[0].Type.Lanes
	m := e.memory(3, t.Elem)
	for k, l := range in.Lanes {
		from := x
		if l >= n {
			from, l = y, l-n
		}
		e.put(m, e.b.Int(int64(k)), from(e.b.Int(int64(l))))
	}
	return e.fetch(m, e.b.Int(0), t)
}
