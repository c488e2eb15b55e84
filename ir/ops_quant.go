package ir

// Quantised arithmetic: x = (q - zero_point) * scale.
var opsQuant = []*OpInfo{
	row("QuantizeLinear(x, y_scale, y_zero_point?) -> y", "axis:int block_size:int output_dtype:dtype precision:int saturate:int", 0, inferQuantize,
		"saturate(round(x/scale) + zero_point), per tensor, axis or block"),
	row("DequantizeLinear(x, x_scale, x_zero_point?) -> y", "axis:int block_size:int output_dtype:dtype", 0, inferDequantize,
		"(x - zero_point) * scale, per tensor, axis or block"),
	row("DynamicQuantizeLinear(x) -> y, y_scale, y_zero_point", "", 0, inferDynamicQuantize, "u8 quantisation by the range of the data"),
	row("ConvInteger(x, w, x_zero_point?, w_zero_point?) -> y", convAttrs, 0, formed("- - #", "", inferConvInteger), "convolution of integers in i32"),
	row("MatMulInteger(A, B, a_zero_point?, b_zero_point?) -> Y", "", 0, inferMatMulInteger, "matrix product of integers in i32"),
	row("QLinearConv(x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B?) -> y", convAttrs, 0, formed("- # # - - - # #", "", inferQLinearConv),
		"convolution of quantised tensors"),
	row("QLinearMatMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point) -> y", "", 0, inferQLinearMatMul,
		"matrix product of quantised tensors"),
	row("ms.MatMulNBits(A, B, scales, zero_points?, g_idx?, bias?) -> Y", "K:int N:int bits:int block_size:int", 0, inferMatMulNBits,
		"product of A [..,K] and the transpose of a matrix [N,K] of elements of 2, 4 or 8 bits, quantised in blocks of its rows"),
}
