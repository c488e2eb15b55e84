package ir

const treeAttrs = "nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:data " +
	"nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints " +
	"nodes_values:floats nodes_values_as_tensor:data post_transform:string base_values:floats base_values_as_tensor:data "

// Classical machine learning, domain ai.onnx.ml. X is [N,F] or [F], which stands for [1,F].
var opsML = []*OpInfo{
	row("ml.TreeEnsembleRegressor(X) -> Y", treeAttrs+"aggregate_function:string n_targets:int target_ids:ints target_nodeids:ints target_treeids:ints "+
		"target_weights:floats target_weights_as_tensor:data", 0, inferTreeRegressor, "sum, mean, min or max over decision trees, f32[N,targets]"),
	row("ml.TreeEnsembleClassifier(X) -> Y, Z", treeAttrs+"class_ids:ints class_nodeids:ints class_treeids:ints class_weights:floats "+
		"class_weights_as_tensor:data classlabels_int64s:ints classlabels_strings:strings", 0, inferTreeClassifier,
		"label of the best class [N] and scores [N,classes] by decision trees"),
	row("ml.LinearRegressor(X) -> Y", "coefficients:floats intercepts:floats post_transform:string targets:int", 0, inferLinearRegressor, "linear functions, f32[N,targets]"),
	row("ml.LinearClassifier(X) -> Y, Z", "classlabels_ints:ints classlabels_strings:strings coefficients:floats intercepts:floats multi_class:int post_transform:string",
		0, inferLinearClassifier, "label of the best class [N] and scores [N,classes] by linear functions"),
	row("ml.Scaler(X) -> Y", "offset:floats scale:floats", 0, inferToF32, "(x - offset) * scale per feature"),
	row("ml.Normalizer(X) -> Y", "norm:string", 0, inferToF32, "division of each row by its MAX, L1 or L2 norm"),
	row("ml.Imputer(X) -> Y", "imputed_value_floats:floats imputed_value_int64s:ints replaced_value_float:float replaced_value_int64:int", 0, inferSame,
		"replaces missing values per feature"),
	row("ml.Binarizer(X) -> Y", "threshold:float", 0, inferSame, "1 where x > threshold, else 0"),
	row("ml.ArrayFeatureExtractor(X, Y) -> Z", "", 0, inferArrayFeatureExtractor, "columns of the last axis by index"),
}
