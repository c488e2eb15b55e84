package onnx

// rowsAttention: forms of attention that other ops spell out. See rowSpec.
var rowsAttention = []rowSpec{
	{"preview.FlexAttention(Q, K, V) -> Y", "Attention", []int{1}, "prob_mod:graph scale:float score_mod:graph softmax_precision:int", flexAttention},
	{"ms.Attention(input, weights, bias?, mask_index?, past?, attention_bias?, past_sequence_length?) -> output, present?", "Attention", []int{1},
		"do_rotary:int=0 mask_filter_value:float=-10000.0 num_heads:int! past_present_share_buffer:int=0 qkv_hidden_sizes:ints rotary_embedding_dim:int=0 scale:float unidirectional:int=0", msAttention},
	{"ms.GroupQueryAttention(query, key?, value?, past_key?, past_value?, seqlens_k, total_sequence_length, cos_cache?, sin_cache?, position_ids?, attention_bias?, head_sink?) -> output, present_key?, present_value?, output_qk?", "Attention", []int{1},
		"do_rotary:int=0 kv_num_heads:int! local_window_size:int=-1 num_heads:int! qk_output:int=0 rotary_interleaved:int=0 scale:float smooth_softmax:int=0 softcap:float=0.0", groupQueryAttention},
	{"ms.MultiHeadAttention(query, key?, value?, bias?, key_padding_mask?, attention_bias?, past_key?, past_value?, past_sequence_length?, cache_indirection?) -> output, present_key?, present_value?, qk?", "Attention", []int{1},
		"mask_filter_value:float=-10000.0 num_heads:int! scale:float unidirectional:int=0", multiHeadAttention},
	{"ms.QAttention(input, weight, bias, input_scale, weight_scale, mask_index?, input_zero_point?, weight_zero_point?, past?) -> output, present?", "Attention", []int{1},
		"do_rotary:int=0 mask_filter_value:float=-10000.0 num_heads:int! past_present_share_buffer:int=0 scale:float unidirectional:int=0", qAttention},
	{"ms.RotaryEmbedding(input, position_ids, cos_cache, sin_cache) -> output", "RotaryEmbedding", []int{1},
		"interleaved:int=0 is_packed_batching:int=0 num_heads:int=0 rotary_embedding_dim:int=0 scale:float=1.0", msRotary},
}
