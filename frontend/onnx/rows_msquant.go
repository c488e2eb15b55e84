package onnx

// poolAttrsMs are the attributes of the pools of com.microsoft.
const poolAttrsMs = "auto_pad:string=NOTSET ceil_mode:int=0 kernel_shape:ints! pads:ints strides:ints"

// rowsMsQuant are the quantised operators of ONNX Runtime: see rowSpec.
var rowsMsQuant = []rowSpec{
	{"ms.DequantizeLinear(x, x_scale, x_zero_point?) -> y", "DequantizeLinear", []int{1}, "axis:int=1", direct},
	{"ms.DynamicQuantizeMatMul(A, B, b_scale, b_zero_point?, bias?) -> Y", "MatMulInteger", []int{1}, "", dynamicQuantizeMatMul},
	{"ms.GatherBlockQuantized(data, indices, scales, zero_points?) -> output", "DequantizeLinear", []int{1}, "bits:int=4 block_size:int=128 gather_axis:int=0 quantize_axis:int=1", gatherBlockQuantized},
	{"ms.MatMulIntegerToFloat(A, B, a_scale, b_scale, a_zero_point?, b_zero_point?, bias?) -> Y", "MatMulInteger", []int{1}, "", matMulIntegerToFloat},
	{"ms.MatMulNBits(A, B, scales, zero_points?, g_idx?, bias?) -> Y", "ms.MatMulNBits", []int{1}, "K:int! N:int! accuracy_level:int=0 bits:int=4 block_size:int! weight_prepacked:int=0", matMulNBits},
	{"ms.NhwcMaxPool(x) -> y", "MaxPool", []int{1}, "dilations:ints " + poolAttrsMs, nhwcMaxPool},
	{"ms.QGemm(A, a_scale, a_zero_point, B, b_scale, b_zero_point, C?, y_scale?, y_zero_point?) -> Y", "MatMulInteger", []int{1}, "alpha:float=1.0 transA:int=0 transB:int=0", qGemm},
	{"ms.QLinearAdd(A, A_scale, A_zero_point?, B, B_scale, B_zero_point?, C_scale, C_zero_point?) -> C", "Add", []int{1}, "", qLinearBinary},
	{"ms.QLinearAveragePool(X, x_scale, x_zero_point?, y_scale, y_zero_point?) -> Y", "AveragePool", []int{1}, "channels_last:int=0 count_include_pad:int=0 " + poolAttrsMs, qLinearUnary},
	{"ms.QLinearConcat(Y_scale, Y_zero_point, inputs*) -> Y", "Concat", []int{1}, "axis:int!", qLinearConcat},
	{"ms.QLinearGlobalAveragePool(X, x_scale, x_zero_point, y_scale, y_zero_point) -> Y", "GlobalAveragePool", []int{1}, "channels_last:int=0", qLinearUnary},
	{"ms.QLinearLeakyRelu(X, X_scale, X_zero_point?, Y_scale, Y_zero_point?) -> Y", "LeakyRelu", []int{1}, "alpha:float=0.01", qLinearUnary},
	{"ms.QLinearMul(A, A_scale, A_zero_point?, B, B_scale, B_zero_point?, C_scale, C_zero_point?) -> C", "Mul", []int{1}, "", qLinearBinary},
	{"ms.QLinearSigmoid(X, X_scale, X_zero_point?, Y_scale, Y_zero_point?) -> Y", "Sigmoid", []int{1}, "", qLinearUnary},
	{"ms.QLinearSoftmax(X, X_scale, x_zero_point?, y_scale, y_zero_point) -> Y", "Softmax", []int{1}, "axis:int=-1 opset:int!", qLinearSoftmax},
	{"ms.QLinearWhere(condition, X, x_scale, x_zero_point, Y, y_scale, y_zero_point, z_scale, z_zero_point) -> Z", "Where", []int{1}, "", qLinearWhere},
	{"ms.QuantizeLinear(x, y_scale, y_zero_point?) -> y", "QuantizeLinear", []int{1}, "axis:int=1", direct},
}
