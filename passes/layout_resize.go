package passes

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// maxPixels bounds the pixels of images whose numbers are floats.
const maxPixels = 1 << 24

// blockableResize describes a Resize that takes each pixel from a certain row and column: those are what it makes of an
// image of the pixels' numbers.
func blockableResize(op *ir.Op) *layoutOp {
	x, out := op.Operands[0].Type, op.Results[0].Type
	a := op.Attrs
	if a.Str("mode", "nearest") != "nearest" || a.Str("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize" ||
		a.Str("keep_aspect_ratio_policy", "stretch") != "stretch" || !isF32(op.Operands[0]) || len(x.Shape) != 4 || len(out.Shape) != 4 {
		return nil
	}
	from, static := ir.StaticShape(x.Shape[2:])
	to, ok := ir.StaticShape(out.Shape[2:])
	if !static || !ok || !x.Shape[0].Equal(out.Shape[0]) || !x.Shape[1].Equal(out.Shape[1]) || from[0]*from[1] > maxPixels || to[0]*to[1] > maxPixels {
		return nil
	}
	numbers := make([]float32, from[0]*from[1])
	for i := range numbers {
		numbers[i] = float32(i)
	}
	args := []hostop.Value{tensor.Of(numbers, 1, 1, from[0], from[1])}
	for _, v := range op.Operands[1:] {
		var arg hostop.Value
		if v != nil {
			d := ir.ConstOf(v)
			if d == nil {
				return nil
			}
			t, err := d.Tensor()
			if err != nil {
				return nil
			}
			arg = t
		}
		args = append(args, arg)
	}
	vals, err := eval.Op(op, args)
	if err != nil {
		return nil
	}
	t := vals[0].(*tensor.Tensor)
	if len(t.Shape) != 4 || t.Shape[2] != to[0] || t.Shape[3] != to[1] || t.Len() == 0 {
		return nil
	}
	image := tensor.View[float32](t)[:to[0]*to[1]] // as sizes may ask for more channels than one
	rows, columns := make([]int64, to[0]), make([]int64, to[1])
	for j := range columns {
		columns[j] = int64(image[j]) % from[1]
	}
	for i := range rows {
		rows[i] = int64(image[int64(i)*to[1]]) / from[1]
	}
	for i, x := range image {
		if rows[int64(i)/to[1]]*from[1]+columns[int64(i)%to[1]] != int64(x) {
			return nil
		}
	}
	return &layoutOp{op: op, name: "BlockedPick", data: []int{0}, attrs: ir.Attrs{"rows": rows, "columns": columns}}
}
