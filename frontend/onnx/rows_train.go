package onnx

// rowsTrain: see rowSpec. Optimisers are arithmetic on each of their tensors.
var rowsTrain = []rowSpec{
	{"train.Adagrad(R, T, inputs*) -> outputs*", "Sub", []int{1}, "decay_factor:float=0.0 epsilon:float=1e-06 norm_coefficient:float=0.0", adagrad},
	{"train.Adam(R, T, inputs*) -> outputs*", "Sub", []int{1}, "alpha:float=0.9 beta:float=0.999 epsilon:float=1e-06 norm_coefficient:float=0.0 norm_coefficient_post:float=0.0", adam},
	{"train.Momentum(R, T, inputs*) -> outputs*", "Sub", []int{1}, "alpha:float! beta:float! mode:string! norm_coefficient:float!", momentum},
	{"train.Gradient(Inputs*) -> Outputs*", "Mul", []int{1}, "xs:strings! y:string! zs:strings", gradient},
}
