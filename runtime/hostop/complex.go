package hostop

import (
	"maps"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// halves maps complex types to those of their parts: as numbers, and as bits.
var halves = map[tensor.DType]struct{ number, bits tensor.DType }{
	tensor.C64:  {tensor.F32, tensor.U32},
	tensor.C128: {tensor.F64, tensor.U64},
}

// part gives the real (0) or imaginary (1) parts of complex numbers, as elements of type d, which is half as wide.
func part(x *tensor.Tensor, index int64, d tensor.DType) *tensor.Tensor {
	out, n := alloc(d, x.Shape...), int64(d.Size())
	for i := range x.Len() {
		copy(out.Data[n*i:][:n], x.Data[n*(2*i+index):])
	}
	return out
}

// joined makes complex numbers of type d of their parts.
func joined(d tensor.DType, re, im *tensor.Tensor) *tensor.Tensor {
	out, n := alloc(d, re.Shape...), int64(re.DType.Size())
	for i := range re.Len() {
		copy(out.Data[2*n*i:], re.Data[n*i:][:n])
		copy(out.Data[2*n*i+n:], im.Data[n*i:][:n])
	}
	return out
}

// byParts computes an op that is linear in its first operand; complex numbers part by part.
func byParts(c *Call, op func(c *Call) error) error {
	x := c.in(0)
	half, ok := halves[x.DType]
	if !ok {
		return op(c)
	}
	var parts [2]*tensor.Tensor
	for i := range parts {
		attrs := maps.Clone(c.Attrs)
		if i == 1 {
			delete(attrs, "extrapolation_value") // which is real
		}
		sub := &Call{In: append([]Value{part(x, int64(i), half.number)}, c.In[1:]...), Attrs: attrs, NumOut: 1}
		if err := op(sub); err != nil {
			return err
		}
		parts[i] = sub.Out[0].(*tensor.Tensor)
	}
	c.give(joined(x.DType, parts[0], parts[1]))
	return nil
}

// foldComplex adds upd to out or multiplies it with it, at n elements from u and o on.
func foldComplex[T complex64 | complex128](out, upd []T, mul bool) func(o, u, n int64) {
	return func(o, u, n int64) {
		for i := range n {
			if mul {
				out[o+i] *= upd[u+i]
			} else {
				out[o+i] += upd[u+i]
			}
		}
	}
}
