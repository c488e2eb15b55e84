package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// lanesPerBlock is the number of channels in a block of nnc's blocked tensors.
const lanesPerBlock = 16

// Block turns [N,C,H,W] into [N,ceil(C/16),H,W,16]; the lanes beyond C are zero.
func Block(c *Call) (err error) {
	defer guard(&err)
	c.give(block(c.in(0)))
	return nil
}

func block(x *tensor.Tensor) *tensor.Tensor {
	check(len(x.Shape) == 4, "[N,C,H,W] wanted, got %s", x.TypeString())
	n, ch, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	blocks := (ch + lanesPerBlock - 1) / lanesPerBlock
	zero := make([]int64, 4)
	full := pad(x, zero, []int64{0, blocks*lanesPerBlock - ch, 0, 0}, "constant", nil)
	return permute(reshaped(full, n, blocks, lanesPerBlock, h, w), []int{0, 1, 3, 4, 2})
}

// Unblock is the inverse, with `channels` channels.
func Unblock(c *Call) (err error) {
	defer guard(&err)
	c.give(unblock(c.in(0), c.Attrs.Int("channels", 0)))
	return nil
}

func unblock(x *tensor.Tensor, ch int64) *tensor.Tensor {
	check(len(x.Shape) == 5 && x.Shape[4] == lanesPerBlock && ch >= 0 && (ch+lanesPerBlock-1)/lanesPerBlock == x.Shape[1],
		"a blocked tensor of %d channels wanted, got %s", ch, x.TypeString())
	n, blocks, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	full := reshaped(permute(x, []int{0, 1, 4, 2, 3}), n, blocks*lanesPerBlock, h, w)
	return stridedCopy(full, 0, []int64{n, ch, h, w}, stridesOf(full.Shape))
}

// blocked runs f on the plain form of its first operand and blocks the result.
func blocked(c *Call, plain bool, f Func) (err error) {
	defer guard(&err)
	in := append([]Value{}, c.In...)
	x := c.in(0)
	if !plain {
		x = unblock(x, c.Attrs.Int("channels", 0))
	}
	in[0] = x
	sub := &Call{In: in, Attrs: c.Attrs, NumOut: 1}
	if err := f(sub); err != nil {
		return err
	}
	c.give(block(sub.Out[0].(*tensor.Tensor)))
	return nil
}

// BlockedConv is Conv from a blocked tensor (a plain one with plain_input) to a blocked one.
func BlockedConv(c *Call) error { return blocked(c, c.Attrs.Int("plain_input", 0) != 0, Conv) }

// BlockedMaxPool is MaxPool of a blocked tensor.
func BlockedMaxPool(c *Call) error { return blocked(c, false, MaxPool) }

// BlockedAveragePool is AveragePool of a blocked tensor.
func BlockedAveragePool(c *Call) error { return blocked(c, false, AveragePool) }

// BlockedChannelNorm is ChannelNorm of a blocked tensor.
func BlockedChannelNorm(c *Call) error { return blocked(c, false, ChannelNorm) }

// BlockedGlobalAveragePool is GlobalAveragePool of a blocked tensor.
func BlockedGlobalAveragePool(c *Call) error { return blocked(c, false, GlobalAveragePool) }

// BlockedSelect gives a blocked tensor whose channel i is lane from[i] of the blocks of all operands, counted through.
func BlockedSelect(c *Call) (err error) {
	defer guard(&err)
	var xs []*tensor.Tensor
	for i := range c.In {
		xs = append(xs, c.in(i))
	}
	x := concat(xs, 1)
	x = unblock(x, x.Shape[1]*lanesPerBlock)
	if x, err = gathered(x, 1, c.Attrs.Ints("from", nil)); err != nil {
		return err
	}
	c.give(block(x))
	return nil
}

// BlockedPick gives a blocked tensor whose pixel i, j is the operand's pixel rows[i], columns[j].
func BlockedPick(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(len(x.Shape) == 5, "a blocked tensor wanted, got %s", x.TypeString())
	for i, name := range []string{"rows", "columns"} {
		if x, err = gathered(x, int64(2+i), c.Attrs.Ints(name, nil)); err != nil {
			return err
		}
	}
	c.give(x)
	return nil
}

// gathered is x's elements at the given places of an axis.
func gathered(x *tensor.Tensor, axis int64, at []int64) (*tensor.Tensor, error) {
	for _, i := range at {
		check(i >= 0 && i < x.Shape[axis], "place %d of %d", i, x.Shape[axis])
	}
	c := &Call{In: []Value{x, tensor.Of(at, int64(len(at)))}, Attrs: Attrs{"axis": axis}, NumOut: 1}
	if err := Gather(c); err != nil {
		return nil, err
	}
	return c.Out[0].(*tensor.Tensor), nil
}
