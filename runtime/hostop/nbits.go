package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// MatMulNBits is A times the transpose of a matrix whose rows are packed in blocks with a scale each
// (com.microsoft). Without zero points the middle of the range is 0; with g_idx an element of a row has the
// scale of the block that it names.
func MatMulNBits(c *Call) (err error) {
	defer guard(&err)
	a, b, scales, zps, groups, bias := c.in(0), c.in(1), floatsOf(c.in(2)), c.opt(3), c.opt(4), c.opt(5)
	k, n, bits, block := c.Attrs.Int("K", 0), c.Attrs.Int("N", 0), c.Attrs.Int("bits", 4), c.Attrs.Int("block_size", 0)
	check(k > 0 && n > 0 && block > 0 && (bits == 2 || bits == 4 || bits == 8), "K is %d, N is %d, bits is %d, block_size is %d", k, n, bits, block)
	check(len(a.Shape) > 0 && a.Shape[len(a.Shape)-1] == k, "A is %s, want a last dimension of %d", a.TypeString(), k)
	blocks := (k + block - 1) / block
	check(b.DType == tensor.U8 && b.Len() == n*blocks*block*bits/8 && int64(len(scales)) == n*blocks, "%d bytes of B and %d scales, want %d and %d",
		len(b.Data), len(scales), n*blocks*block*bits/8, n*blocks)
	codes := func(t *tensor.Tensor) *tensor.Tensor {
		d := map[int64]tensor.DType{2: tensor.U2, 4: tensor.U4, 8: tensor.U8}[bits]
		return &tensor.Tensor{DType: d, Shape: []int64{t.Len() * 8 / bits}, Data: t.Data}
	}
	zero := func(row, g int64) float64 { return float64(int64(1) << (bits - 1)) }
	switch {
	case zps == nil:
	case zps.DType == tensor.U8:
		rowBytes := (blocks*bits + 7) / 8
		check(zps.Len() == n*rowBytes, "zero points are %s, want %d bytes", zps.TypeString(), n*rowBytes)
		z := codes(zps)
		zero = func(row, g int64) float64 { return z.At(row*rowBytes*8/bits + g) }
	default:
		z := floatsOf(zps)
		check(int64(len(z)) == n*blocks, "%d zero points, want %d", len(z), n*blocks)
		zero = func(row, g int64) float64 { return z[row*blocks+g] }
	}
	group := func(i int64) int64 { return i / block }
	if groups != nil {
		ids := intsOf(groups)
		check(int64(len(ids)) >= k, "%d groups, want %d", len(ids), k)
		group = func(i int64) int64 {
			check(ids[i] >= 0 && ids[i] < blocks, "group %d of %d", ids[i], blocks)
			return ids[i]
		}
	}
	w, q := make([]float64, n*k), codes(b)
	for row := range n {
		for i := range k {
			g := group(i)
			w[row*k+i] = (q.At(row*blocks*block+i) - zero(row, g)) * scales[row*blocks+g]
		}
	}
	x := floatsOf(a)
	rows := int64(len(x)) / k
	y := make([]float64, rows*n)
	var add []float64
	if bias != nil {
		add = floatsOf(bias)
		check(int64(len(add)) == n, "bias is %s, want %d numbers", bias.TypeString(), n)
	}
	for m := range rows {
		for j := range n {
			sum := 0.0
			if add != nil {
				sum = add[j]
			}
			for i := range k {
				sum += x[m*k+i] * w[j*k+i]
			}
			y[m*n+j] = sum
		}
	}
	c.give(fromFloats(a.DType, append(append([]int64{}, a.Shape[:len(a.Shape)-1]...), n), y))
	return nil
}
