package ir

const (
	convAttrs   = "auto_pad:string dilations:ints group:int kernel_shape:ints pads:ints strides:ints"
	poolAttrs   = "auto_pad:string ceil_mode:int dilations:ints kernel_shape:ints pads:ints strides:ints"
	maxAttrs    = poolAttrs + " storage_order:int"
	avgAttrs    = poolAttrs + " count_include_pad:int"
	resizeAttrs = "antialias:int axes:ints coordinate_transformation_mode:string cubic_coeff_a:float exclude_outside:int " +
		"extrapolation_value:float keep_aspect_ratio_policy:string mode:string nearest_mode:string"
	attentionAttrs = "is_causal:int kv_num_heads:int left_window_size:int masked_score:float q_num_heads:int qk_matmul_output_mode:int " +
		"right_window_size:int scale:float softcap:float softmax_precision:int"
)

// Linear algebra, convolutions, pools, normalisations, attention and image ops.
var opsNN = []*OpInfo{
	row("MatMul(A, B) -> Y", "to:dtype", 0, inferMatMul, "product of (batches of) matrices, as numpy's matmul; `to` is the result's type, the operands' by default"),
	row("Gemm(A, B, C?) -> Y", "alpha:float beta:float transA:int transB:int to:dtype", 0, inferGemm, "alpha*A*B + beta*C; C broadcasts; `to` as for MatMul"),
	row("Einsum(Inputs*) -> Output", "equation:string", 0, inferEinsum, "sum of products by Einstein's convention"),
	row("Det(X) -> Y", "", 0, inferDet, "determinant of (batches of) matrices"),
	row("ms.Inverse(X) -> Y", "", 0, inferInverse, "inverse of (batches of) matrices"),
	row("Conv(X, W, B?) -> Y", convAttrs, 0, inferConv, "convolution"),
	row("ConvTranspose(X, W, B?) -> Y", convAttrs+" output_padding:ints output_shape:ints", 0, inferConvTranspose, "transposed convolution"),
	row("DeformConv(X, W, offset, B?, mask?) -> Y", "dilations:ints group:int kernel_shape:ints offset_group:int pads:ints strides:ints",
		0, inferConv, "convolution whose taps are moved by offsets"),
	row("Col2Im(input, image_shape, block_shape) -> output", "dilations:ints pads:ints strides:ints", 0, inferCol2Im, "sums columns of patches into an image"),

	row("AveragePool(X) -> Y", avgAttrs, 0, inferPool, "mean over windows"),
	row("MaxPool(X) -> Y, Indices?", maxAttrs, 0, formed("", "storage_order=0|1", inferPool), "maximum over windows, and its flat index"),
	row("LpPool(X) -> Y", poolAttrs+" p:int", 0, inferPool, "p-norm over windows"),
	row("MaxUnpool(X, I, output_shape?) -> output", "kernel_shape:ints pads:ints strides:ints", 0, formed("*S *S", "", inferMaxUnpool), "puts maxima back where MaxPool took them"),
	row("GlobalAveragePool(X) -> Y", "", 0, inferGlobalPool, "mean over all pixels"),
	row("GlobalMaxPool(X) -> Y", "", 0, inferGlobalPool, "maximum over all pixels"),
	row("GlobalLpPool(X) -> Y", "p:int", 0, inferGlobalPool, "p-norm over all pixels"),
	row("MaxRoiPool(X, rois) -> Y", "pooled_shape:ints spatial_scale:float", 0, formed("N,C,H,W R,5", "", inferMaxRoiPool), "maximum over cells of regions"),
	row("RoiAlign(X, rois, batch_indices) -> Y", "coordinate_transformation_mode:string mode:string output_height:int output_width:int sampling_ratio:int spatial_scale:float",
		0, formed("N,C,H,W R,4 R", "", inferRoiAlign), "interpolated pool over cells of regions"),

	row("BatchNormalization(X, scale, B, input_mean, input_var) -> Y, running_mean?, running_var?", "epsilon:float momentum:float training_mode:int",
		0, inferBatchNorm, "(x-mean)/sqrt(var+epsilon)*scale + B per channel"),
	row("InstanceNormalization(input, scale, B) -> output", "epsilon:float", 0, formed("N,C,... C C", "", inferSame), "normalisation over the pixels of each channel of each sample"),
	row("GroupNormalization(X, scale, bias) -> Y", "epsilon:float num_groups:int stash_type:int", 0, formed("N,C,... C C", "num_groups>=1", inferGroupNorm), "normalisation over groups of channels of each sample"),
	row("LayerNormalization(X, Scale, B?) -> Y, Mean?, InvStdDev?", "axis:int epsilon:float stash_type:int", 0, inferLayerNorm, "normalisation over the dimensions from axis on"),
	row("RMSNormalization(X, scale) -> Y, InvRMS?", "axis:int epsilon:float stash_type:int", 0, inferLayerNorm, "division by the root mean square over the dimensions from axis on"),
	row("LpNormalization(input) -> output", "axis:int p:int", 0, formed("", "axis p=1|2", inferSame), "division by the p-norm along an axis"),
	row("MeanVarianceNormalization(X) -> Y", "axes:ints", 0, inferMVN, "(x-mean)/stddev over axes"),
	row("LRN(X) -> Y", "alpha:float beta:float bias:float size:int", 0, formed("N,C,...", "size>=1", inferSame), "division by a power of the squares of neighbouring channels"),
	row("Dropout(data, ratio?, training_mode?) -> output, mask?", "seed:int", Impure, inferDropout, "drops elements at random in training mode; else its operand"),

	row("Attention(Q, K, V, attn_mask?, past_key?, past_value?, nonpad_kv_seqlen?, head_sink?) -> Y, present_key?, present_value?, qk_matmul_output?",
		attentionAttrs, 0, inferAttention, "softmax(scale*Q*K^T + mask) * V per head; head_sink is a further score of each head, of a value of zeros; masked_score is the score that a mask of bool gives where it is false, and with it a row of no scores but -Inf is NaN, as of Softmax"),
	row("RotaryEmbedding(X, cos_cache, sin_cache, position_ids?) -> Y", "interleaved:int num_heads:int rotary_embedding_dim:int", 0, inferRotary, "rotates pairs of features by angles of their position"),

	row("Resize(X, roi?, scales?, sizes?) -> Y", resizeAttrs, 0, inferResize, "resamples to scales or sizes"),
	row("GridSample(X, grid) -> Y", "align_corners:int mode:string padding_mode:string", 0, formed("N,C,... N,...", "", inferGridSample), "samples an image at the points of a grid"),
	row("AffineGrid(theta, size) -> grid", "align_corners:int", 0, inferAffineGrid, "grid of points under affine maps"),
	row("ImageDecoder(encoded_stream) -> image", "pixel_format:string", 0, formed("N", "pixel_format=RGB|BGR|Grayscale", inferImageDecoder), "decodes an image file to u8[H,W,C]"),

	row("NegativeLogLikelihoodLoss(input, target, weight?) -> loss", "ignore_index:int reduction:string", 0, inferNLL, "negative log likelihood of the target classes"),
	row("SoftmaxCrossEntropyLoss(scores, labels, weights?) -> output, log_prob?", "ignore_index:int reduction:string", 0, inferSCE, "cross entropy of softmax(scores) and labels"),
}
