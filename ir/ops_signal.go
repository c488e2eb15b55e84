package ir

const windowAttrs = "output_datatype:dtype periodic:int"

// Signal processing, random numbers and strings.
var opsSignal = []*OpInfo{
	row("DFT(input, dft_length?, axis?) -> output", "inverse:int onesided:int", 0, formed("", "inverse=0|1 onesided=0|1", inferDFT), "discrete Fourier transform; the last dimension is real, imaginary"),
	row("STFT(signal, frame_step, window?, frame_length?) -> output", "onesided:int", 0, inferSTFT, "Fourier transform of windows of a signal"),
	row("BlackmanWindow(size) -> output", windowAttrs, 0, formed("#", "", inferWindow), "Blackman window"),
	row("HammingWindow(size) -> output", windowAttrs, 0, formed("#", "", inferWindow), "Hamming window"),
	row("HannWindow(size) -> output", windowAttrs, 0, formed("#", "", inferWindow), "Hann window"),
	row("MelWeightMatrix(num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz) -> output", "output_datatype:dtype", 0, formed("# # # # #", "", inferMel),
		"weights from spectrum bins to mel bands"),

	row("RandomNormal() -> output", "dtype:dtype mean:float scale:float seed:float shape:ints", Impure, inferRandom, "normal random numbers"),
	row("RandomUniform() -> output", "dtype:dtype high:float low:float seed:float shape:ints", Impure, inferRandom, "uniform random numbers"),
	row("RandomNormalLike(input) -> output", "dtype:dtype mean:float scale:float seed:float", Impure, inferDrawnLike, "normal random numbers in a tensor's shape"),
	row("RandomUniformLike(input) -> output", "dtype:dtype high:float low:float seed:float", Impure, inferDrawnLike, "uniform random numbers in a tensor's shape"),
	row("Bernoulli(input) -> output", "dtype:dtype seed:float", Impure, inferRandomLike, "1 with the given probabilities, else 0"),
	row("Multinomial(input) -> output", "dtype:dtype sample_size:int seed:float", Impure, inferMultinomial, "classes drawn by log-probabilities"),

	row("RegexFullMatch(X) -> Y", "pattern:string", 0, inferRegex, "whether a regular expression matches the whole string"),
	row("StringConcat(X, Y) -> Z", "", 0, inferBroadcast, "joins strings"),
	row("StringNormalizer(X) -> Y", "case_change_action:string is_case_sensitive:int locale:string stopwords:strings", 0, formed("", "case_change_action=LOWER|UPPER|NONE", inferStringNormalizer),
		"removes stop words and changes case"),
	row("StringSplit(X) -> Y, Z", "delimiter:string maxsplit:int", 0, inferStringSplit, "splits strings, padded to the longest, and counts parts"),
	row("TfIdfVectorizer(X) -> Y", "max_gram_length:int max_skip_count:int min_gram_length:int mode:string ngram_counts:ints ngram_indexes:ints "+
		"pool_int64s:ints pool_strings:strings weights:floats", 0, formed("", "mode=TF|IDF|TFIDF", inferTfIdf), "counts or weights of n-grams"),
}
