package onnx

// rowsMl: see rowSpec.
var rowsMl = []rowSpec{
	{"ml.ArrayFeatureExtractor(X, Y) -> Z", "ml.ArrayFeatureExtractor", []int{1}, "", direct},
	{"ml.Binarizer(X) -> Y", "ml.Binarizer", []int{1}, "threshold:float=0.0", direct},
	{"ml.Imputer(X) -> Y", "ml.Imputer", []int{1}, "imputed_value_floats:floats imputed_value_int64s:ints replaced_value_float:float=0.0 replaced_value_int64:int=0", direct},
	{"ml.LinearClassifier(X) -> Y, Z", "ml.LinearClassifier", []int{1}, "classlabels_ints:ints classlabels_strings:strings coefficients:floats! intercepts:floats multi_class:int=0 post_transform:string=NONE", direct},
	{"ml.LinearRegressor(X) -> Y", "ml.LinearRegressor", []int{1}, "coefficients:floats intercepts:floats post_transform:string=NONE targets:int=1", direct},
	{"ml.Normalizer(X) -> Y", "ml.Normalizer", []int{1}, "norm:string=MAX", direct},
	{"ml.Scaler(X) -> Y", "ml.Scaler", []int{1}, "offset:floats scale:floats", direct},
	{"ml.TreeEnsembleClassifier(X) -> Y, Z", "ml.TreeEnsembleClassifier", []int{1}, "base_values:floats class_ids:ints class_nodeids:ints class_treeids:ints class_weights:floats classlabels_int64s:ints classlabels_strings:strings nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats post_transform:string=NONE", direct},
	{"ml.TreeEnsembleClassifier(X) -> Y, Z", "ml.TreeEnsembleClassifier", []int{3}, "base_values:floats base_values_as_tensor:data class_ids:ints class_nodeids:ints class_treeids:ints class_weights:floats class_weights_as_tensor:data classlabels_int64s:ints classlabels_strings:strings nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:data nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats nodes_values_as_tensor:data post_transform:string=NONE", direct},
	{sig: "ml.TreeEnsembleClassifier() -> ", since: []int{5}},
	{"ml.TreeEnsembleRegressor(X) -> Y", "ml.TreeEnsembleRegressor", []int{1}, "aggregate_function:string=SUM base_values:floats n_targets:int nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats post_transform:string=NONE target_ids:ints target_nodeids:ints target_treeids:ints target_weights:floats", direct},
	{"ml.TreeEnsembleRegressor(X) -> Y", "ml.TreeEnsembleRegressor", []int{3}, "aggregate_function:string=SUM base_values:floats base_values_as_tensor:data n_targets:int nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:data nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats nodes_values_as_tensor:data post_transform:string=NONE target_ids:ints target_nodeids:ints target_treeids:ints target_weights:floats target_weights_as_tensor:data", direct},
	{sig: "ml.TreeEnsembleRegressor() -> ", since: []int{5}},
}
