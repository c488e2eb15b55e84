package onnx

// rowsOwn: see rowSpec.
var rowsOwn = []rowSpec{
	{"Constant() -> output", "Const", []int{1, 9}, "value:data!", constant},
	{"Constant() -> output", "Const", []int{11}, "sparse_value:sparse value:data", constant},
	{"Constant() -> output", "Const", []int{12, 13, 19, 21, 23, 24, 25}, "sparse_value:sparse value:data value_float:float value_floats:floats value_int:int value_ints:ints value_string:string value_strings:strings", constant},
}
