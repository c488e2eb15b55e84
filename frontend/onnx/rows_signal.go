package onnx

// rowsSignal: see rowSpec.
var rowsSignal = []rowSpec{
	{"Bernoulli(input) -> output", "Bernoulli", []int{15, 22}, "dtype:dtype seed:float", direct},
	{"BlackmanWindow(size) -> output", "BlackmanWindow", []int{17}, "output_datatype:dtype=1 periodic:int=1", direct},
	{"DFT(input, dft_length?) -> output", "DFT", []int{17}, "axis:int=1 inverse:int=0 onesided:int=0", dftAxis},
	{"DFT(input, dft_length?, axis?) -> output", "DFT", []int{20}, "inverse:int=0 onesided:int=0", direct},
	{"HammingWindow(size) -> output", "HammingWindow", []int{17}, "output_datatype:dtype=1 periodic:int=1", direct},
	{"HannWindow(size) -> output", "HannWindow", []int{17}, "output_datatype:dtype=1 periodic:int=1", direct},
	{"MelWeightMatrix(num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz) -> output", "MelWeightMatrix", []int{17}, "output_datatype:dtype=1", direct},
	{"Multinomial(input) -> output", "Multinomial", []int{7, 22}, "dtype:dtype=6 sample_size:int=1 seed:float", direct},
	{"RandomNormal() -> output", "RandomNormal", []int{1, 22}, "dtype:dtype=1 mean:float=0.0 scale:float=1.0 seed:float shape:ints!", direct},
	{"RandomNormalLike(input) -> output", "RandomNormalLike", []int{1, 22}, "dtype:dtype mean:float=0.0 scale:float=1.0 seed:float", direct},
	{"RandomUniform() -> output", "RandomUniform", []int{1, 22}, "dtype:dtype=1 high:float=1.0 low:float=0.0 seed:float shape:ints!", direct},
	{"RandomUniformLike(input) -> output", "RandomUniformLike", []int{1, 22}, "dtype:dtype high:float=1.0 low:float=0.0 seed:float", direct},
	{"RegexFullMatch(X) -> Y", "RegexFullMatch", []int{20}, "pattern:string", direct},
	{"STFT(signal, frame_step, window?, frame_length?) -> output", "STFT", []int{17}, "onesided:int=1", direct},
	{"StringConcat(X, Y) -> Z", "StringConcat", []int{20}, "", direct},
	{"StringNormalizer(X) -> Y", "StringNormalizer", []int{10}, "case_change_action:string=NONE is_case_sensitive:int=0 locale:string stopwords:strings", direct},
	{"StringSplit(X) -> Y, Z", "StringSplit", []int{20}, "delimiter:string maxsplit:int", direct},
	{"TfIdfVectorizer(X) -> Y", "TfIdfVectorizer", []int{9}, "max_gram_length:int! max_skip_count:int! min_gram_length:int! mode:string! ngram_counts:ints! ngram_indexes:ints! pool_int64s:ints pool_strings:strings weights:floats", direct},
}
