// Package hostop holds plain Go implementations of ONNX ops on tensors: the meaning of every op. The
// compiler's evaluator runs them, tests hold kernels against them, and a product carries those that
// its plan calls for what is not worth compiling. They favour being right over being fast.
package hostop

import (
	"fmt"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Attrs are an op's attributes: int64, float64, string, []int64, []float64, []string, tensor.DType or *tensor.Tensor.
type Attrs = tensor.Attrs

// Call is one application of an op.
type Call struct {
	// In are the inputs: *tensor.Tensor, a container (Seq, *Map), or nil for an absent optional.
	In    []Value
	Attrs Attrs
	// NumOut is the number of results wanted; Wanted[i] is false for those that are not used.
	NumOut int
	// Out are the results. The op appends or assigns them.
	Out []Value
}

// Value is a *tensor.Tensor, a container (Seq, *Map), or nil: an optional that holds nothing.
type Value any

// Seq is a sequence.
type Seq []Value

// Func implements an op. It must not modify its inputs, may return them as results, and returns an
// error for what the specification forbids (an index out of range, a zero divisor).
type Func func(c *Call) error

// Tensor gives input i, nil when it is absent.
func (c *Call) Tensor(i int) *tensor.Tensor {
	if i >= len(c.In) || c.In[i] == nil {
		return nil
	}
	t, _ := c.In[i].(*tensor.Tensor)
	return t
}

// Return sets the results.
func (c *Call) Return(out ...Value) error {
	c.Out = out
	return nil
}

// Errorf makes an error; the caller adds the node.
func Errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }
