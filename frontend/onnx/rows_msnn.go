package onnx

// rowsMsNn: see rowSpec. What ONNX Runtime's optimiser writes for matrix products, convolutions and normalisations;
// some of it stands in ONNX's own domain there.
var rowsMsNn = []rowSpec{
	{"ms.FusedMatMul(A, B) -> Y", "MatMul", []int{1}, "alpha:float=1.0 transA:int=0 transB:int=0 transBatchA:int=0 transBatchB:int=0", fusedMatMul},
	{"ms.TransposeMatMul(A, B) -> Y", "MatMul", []int{1}, "alpha:float=1.0 transA:int=0 transB:int=0", fusedMatMul},
	{"ms.FusedGemm(A, B, C?) -> Y", "Gemm", []int{1}, "activation:string activation_alpha:float activation_beta:float activation_gamma:float alpha:float=1.0 beta:float=1.0 transA:int=0 transB:int=0", fusedGemm},
	{"ms.FusedConv(X, W, B?, Z?) -> Y", "Conv", []int{1}, "activation:string activation_params:floats auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints", fusedConv},
	{"ms.Gelu(X) -> Y", "Gelu", []int{1}, "", direct},
	{"ms.BiasGelu(A, B) -> C", "Gelu", []int{1}, "", biasGelu},
	{"ms.FastGelu(X, bias?) -> Y", "Gelu", []int{1}, "", fastGelu},
	{"ms.QuickGelu(X) -> Y", "Sigmoid", []int{1}, "alpha:float=1.702", quickGelu},
	{"ms.BiasSplitGelu(X, bias) -> Y", "Gelu", []int{1}, "", biasSplitGelu},
	{"LayerNormalization(X, Scale, B?) -> Y, Mean?, InvStdDev?", "LayerNormalization", []int{1}, "axis:int=-1 epsilon:float=1e-05 stash_type:int=1", direct},
	{"ms.LayerNormalization(X, Scale, B?) -> Y, Mean?, InvStdDev?", "LayerNormalization", []int{1}, "axis:int=-1 epsilon:float=1e-05 stash_type:int=1", direct},
	{"SimplifiedLayerNormalization(X, scale) -> Y, inv_std_var?", "RMSNormalization", []int{1}, "axis:int=-1 epsilon:float=1e-05 stash_type:int=1", direct},
	{"ms.SimplifiedLayerNormalization(X, scale) -> Y, inv_std_var?", "RMSNormalization", []int{1}, "axis:int=-1 epsilon:float=1e-05 stash_type:int=1", direct},
	{"ms.SkipLayerNormalization(input, skip, gamma, beta?, bias?) -> output, mean?, inv_std_var?, input_skip_bias_sum?", "LayerNormalization", []int{1}, "epsilon:float=1e-12", skipLayerNorm},
	{"ms.SkipSimplifiedLayerNormalization(input, skip, gamma, bias?) -> output, mean?, inv_std_var?, input_skip_bias_sum?", "RMSNormalization", []int{1}, "epsilon:float=1e-12", skipLayerNorm},
	{"ms.EmbedLayerNormalization(input_ids, segment_ids?, word_embedding, position_embedding, segment_embedding?, gamma, beta, mask?, position_ids?) -> output, mask_index?, embedding_sum?", "LayerNormalization", []int{1}, "epsilon:float=1e-12 mask_index_type:int=0", embedLayerNorm},
}
