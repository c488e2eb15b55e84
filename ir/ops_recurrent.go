package ir

const rnnAttrs = "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string hidden_size:int layout:int"

// Recurrent layers and those that carry a state.
var opsRecurrent = []*OpInfo{
	row("RNN(X, W, R, B?, sequence_lens?, initial_h?) -> Y?, Y_h?", rnnAttrs, 0, formed(".,.,I D,H,I D,H,H D,2H - .,.,H", "direction=forward|reverse|bidirectional layout=0|1", inferRNN), "simple recurrent layer"),
	row("GRU(X, W, R, B?, sequence_lens?, initial_h?) -> Y?, Y_h?", rnnAttrs+" linear_before_reset:int", 0, formed(".,.,I D,3H,I D,3H,H D,6H - .,.,H", "direction=forward|reverse|bidirectional layout=0|1", inferRNN), "gated recurrent layer"),
	row("LSTM(X, W, R, B?, sequence_lens?, initial_h?, initial_c?, P?) -> Y?, Y_h?, Y_c?", rnnAttrs+" input_forget:int", 0, formed(".,.,I D,4H,I D,4H,H D,8H - .,.,H .,.,H D,3H", "direction=forward|reverse|bidirectional layout=0|1", inferRNN), "long short-term memory layer"),
	row("CausalConvWithState(input, weight, bias?, past_state?) -> output, present_state", "activation:string", 0, inferCausalConv, "depthwise causal convolution that carries its last inputs"),
	row("LinearAttention(query, key, value, past_state?, decay?, beta?) -> output, present_state",
		"chunk_size:int kv_num_heads:int q_num_heads:int scale:float update_rule:string", 0, inferLinearAttention, "attention by a recurrent matrix state"),
}
