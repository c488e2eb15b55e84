package onnx

// rowsRecurrent: see rowSpec.
var rowsRecurrent = []rowSpec{
	{"CausalConvWithState(input, weight, bias?, past_state?) -> output, present_state", "CausalConvWithState", []int{27}, "activation:string=none", direct},
	{"GRU(X, W, R, B?, sequence_lens?, initial_h?) -> Y?, Y_h", "GRU", []int{1}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int output_sequence:int=0", dropOutputSequence},
	{"GRU(X, W, R, B?, sequence_lens?, initial_h?) -> Y?, Y_h?", "GRU", []int{3}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int linear_before_reset:int=0 output_sequence:int=0", dropOutputSequence},
	{"GRU(X, W, R, B?, sequence_lens?, initial_h?) -> Y?, Y_h?", "GRU", []int{7}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int linear_before_reset:int=0", direct},
	{"GRU(X, W, R, B?, sequence_lens?, initial_h?) -> Y?, Y_h?", "GRU", []int{14, 22}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int layout:int=0 linear_before_reset:int=0", direct},
	{"LSTM(X, W, R, B?, sequence_lens?, initial_h?, initial_c?, P?) -> Y?, Y_h?, Y_c?", "LSTM", []int{1}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int input_forget:int=0 output_sequence:int=0", dropOutputSequence},
	{"LSTM(X, W, R, B?, sequence_lens?, initial_h?, initial_c?, P?) -> Y?, Y_h?, Y_c?", "LSTM", []int{7}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int input_forget:int=0", direct},
	{"LSTM(X, W, R, B?, sequence_lens?, initial_h?, initial_c?, P?) -> Y?, Y_h?, Y_c?", "LSTM", []int{14, 22}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int input_forget:int=0 layout:int=0", direct},
	{"LinearAttention(query, key, value, past_state?, decay?, beta?) -> output, present_state", "LinearAttention", []int{27}, "chunk_size:int=64 kv_num_heads:int! q_num_heads:int! scale:float=0.0 update_rule:string=gated_delta", direct},
	{"RNN(X, W, R, B?, sequence_lens?, initial_h?) -> Y?, Y_h?", "RNN", []int{1}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int output_sequence:int=0", dropOutputSequence},
	{"RNN(X, W, R, B?, sequence_lens?, initial_h?) -> Y?, Y_h?", "RNN", []int{7}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int", direct},
	{"RNN(X, W, R, B?, sequence_lens?, initial_h?) -> Y?, Y_h?", "RNN", []int{14, 22}, "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int layout:int=0", direct},
}
