package onnx

// rowsQuant: see rowSpec.
var rowsQuant = []rowSpec{
	{"ConvInteger(x, w, x_zero_point?, w_zero_point?) -> y", "ConvInteger", []int{10}, "auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints", direct},
	{"DequantizeLinear(x, x_scale, x_zero_point?) -> y", "DequantizeLinear", []int{10}, "", direct},
	{"DequantizeLinear(x, x_scale, x_zero_point?) -> y", "DequantizeLinear", []int{13, 19}, "axis:int=1", direct},
	{"DequantizeLinear(x, x_scale, x_zero_point?) -> y", "DequantizeLinear", []int{21}, "axis:int=1 block_size:int=0", direct},
	{"DequantizeLinear(x, x_scale, x_zero_point?) -> y", "DequantizeLinear", []int{23, 24, 25}, "axis:int=1 block_size:int=0 output_dtype:dtype", direct},
	{"DynamicQuantizeLinear(x) -> y, y_scale, y_zero_point", "DynamicQuantizeLinear", []int{11}, "", direct},
	{"MatMulInteger(A, B, a_zero_point?, b_zero_point?) -> Y", "MatMulInteger", []int{10}, "", direct},
	{"QLinearConv(x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B?) -> y", "QLinearConv", []int{10}, "auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints", direct},
	{"QLinearMatMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point) -> y", "QLinearMatMul", []int{10, 21}, "", direct},
	{"QuantizeLinear(x, y_scale, y_zero_point?) -> y", "QuantizeLinear", []int{10}, "", direct},
	{"QuantizeLinear(x, y_scale, y_zero_point?) -> y", "QuantizeLinear", []int{13}, "axis:int=1", direct},
	{"QuantizeLinear(x, y_scale, y_zero_point?) -> y", "QuantizeLinear", []int{19}, "axis:int=1 saturate:int=1", direct},
	{"QuantizeLinear(x, y_scale, y_zero_point?) -> y", "QuantizeLinear", []int{21}, "axis:int=1 block_size:int=0 output_dtype:dtype saturate:int=1", direct},
	{"QuantizeLinear(x, y_scale, y_zero_point?) -> y", "QuantizeLinear", []int{23, 24, 25}, "axis:int=1 block_size:int=0 output_dtype:dtype precision:int=0 saturate:int=1", direct},
}
