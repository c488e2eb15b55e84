package exec

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// misfit says how v is not of type t, "" where it is.
func misfit(t *plan.Type, v hostop.Value) string {
	if x, ok := v.(*tensor.Tensor); ok && x == nil {
		v = nil
	}
	if t == nil || t.Kind == "opt" && v == nil {
		return ""
	}
	if t.Kind == "opt" {
		return misfit(t.Elem, v)
	}
	switch v := v.(type) {
	case *tensor.Tensor:
		switch {
		case t.Kind != "" || v.DType != t.DType || !fits(t, v.Shape):
			return v.TypeString()
		case v.DType == tensor.String && int64(len(v.Strings)) != v.Len():
			return fmt.Sprintf("%d strings for %s", len(v.Strings), v.TypeString())
		case v.DType != tensor.String && int64(len(v.Data)) != v.DType.Bytes(v.Len()) || slices.ContainsFunc(v.Shape, func(d int64) bool { return d < 0 }):
			return fmt.Sprintf("%d bytes of data for %s", len(v.Data), v.TypeString())
		}
		return ""
	case hostop.Seq:
		if t.Kind == "seq" {
			return misfitElem(t, v)
		}
	case *hostop.Map:
		if t.Kind == "map" && v != nil && v.Keys != nil && v.Keys.DType == t.DType {
			return misfitElem(t, v.Values)
		}
	}
	return describe(v)
}

// fits reports whether a shape is one of those that t allows.
func fits(t *plan.Type, shape []int64) bool {
	if t.Rank >= 0 && t.Rank != len(shape) {
		return false
	}
	for i := range t.Dims {
		if n, ok := t.Static(i); ok && n != shape[i] {
			return false
		}
	}
	return true
}

func misfitElem(t *plan.Type, s hostop.Seq) string {
	for i, e := range s {
		if why := misfit(t.Elem, e); why != "" {
			return fmt.Sprintf("element %d: %s", i, why)
		}
	}
	return ""
}

// boxInput checks an input that lives in a box, and puts it there.
func (m *Model) boxInput(f *frame, io *plan.IO, i int, v hostop.Value) error {
	if why := misfit(m.types[i], v); why != "" {
		return &Error{Kind: ErrInput, What: fmt.Sprintf("input %q", io.Name), Got: why, Want: io.TypeString()}
	}
	f.boxes[io.Box] = aligned(v)
	return nil
}

// replace gives v with those of its tensors replaced for which f gives another.
func replace(v hostop.Value, f func(t *tensor.Tensor) *tensor.Tensor) hostop.Value {
	switch v := v.(type) {
	case *tensor.Tensor:
		if v == nil {
			return nil
		}
		return f(v)
	case hostop.Seq:
		out, same := v, true
		for i, e := range v {
			r := replace(e, f)
			if same && (isSeq(e) || r != e) {
				out, same = slices.Clone(v), false
			}
			if !same {
				out[i] = r
			}
		}
		return out
	case *hostop.Map:
		if v == nil {
			return nil
		}
		return &hostop.Map{Keys: replace(v.Keys, f).(*tensor.Tensor), Values: replace(v.Values, f).(hostop.Seq)}
	}
	return v
}

func isSeq(v hostop.Value) bool { _, ok := v.(hostop.Seq); return ok }

// aligned gives v with copies of those tensors whose memory host operations could not view.
func aligned(v hostop.Value) hostop.Value {
	return replace(v, func(t *tensor.Tensor) *tensor.Tensor {
		if tensor.IsAligned(t.Data, t.DType) {
			return t
		}
		return clone(t)
	})
}

func clone(t *tensor.Tensor) *tensor.Tensor {
	c := tensor.New(t.DType, t.Shape...)
	copy(c.Data, t.Data)
	copy(c.Strings, t.Strings)
	return c
}

// own gives v with copies of those tensors that lie in memory: that of buffers, which later steps overwrite.
func own(v hostop.Value, memory [][]byte) hostop.Value {
	if len(memory) == 0 {
		return v
	}
	return replace(v, func(t *tensor.Tensor) *tensor.Tensor {
		for _, b := range memory {
			if overlap(t.Data, b) {
				return clone(t)
			}
		}
		return t
	})
}

// handOut gives v with copies of what belongs to others too: to the caller as an input, or to the model.
func (m *Model) handOut(v hostop.Value, in []hostop.Value) hostop.Value {
	return replace(v, func(t *tensor.Tensor) *tensor.Tensor {
		if t.DType == tensor.String || overlap(t.Data, m.weights) || slices.ContainsFunc(in, func(x hostop.Value) bool { return shares(x, t.Data) }) {
			return clone(t)
		}
		return t
	})
}
