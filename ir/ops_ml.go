package ir

const treeAttrs = "nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:data " +
	"nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints " +
	"nodes_values:floats nodes_values_as_tensor:data post_transform:string base_values:floats base_values_as_tensor:data "

const svmAttrs = "coefficients:floats kernel_params:floats kernel_type:string post_transform:string rho:floats support_vectors:floats "

// Classical machine learning, domain ai.onnx.ml. X is [N,F] or [F], which stands for [1,F].
var opsML = []*OpInfo{
	row("ml.TreeEnsembleRegressor(X) -> Y", treeAttrs+"aggregate_function:string n_targets:int target_ids:ints target_nodeids:ints target_treeids:ints "+
		"target_weights:floats target_weights_as_tensor:data", 0, treeNodes(inferTreeRegressor), "sum, mean, min or max over decision trees, f32[N,targets]"),
	row("ml.TreeEnsembleClassifier(X) -> Y, Z", treeAttrs+"class_ids:ints class_nodeids:ints class_treeids:ints class_weights:floats "+
		"class_weights_as_tensor:data classlabels_int64s:ints classlabels_strings:strings", 0, treeNodes(inferTreeClassifier),
		"label of the best class [N] and scores [N,classes] by decision trees"),
	row("ml.LinearRegressor(X) -> Y", "coefficients:floats intercepts:floats post_transform:string targets:int", 0, formed("", "post_transform=NONE|SOFTMAX|LOGISTIC|SOFTMAX_ZERO|PROBIT", inferLinearRegressor), "linear functions, f32[N,targets]"),
	row("ml.LinearClassifier(X) -> Y, Z", "classlabels_ints:ints classlabels_strings:strings coefficients:floats intercepts:floats multi_class:int post_transform:string",
		0, formed("", "post_transform=NONE|SOFTMAX|LOGISTIC|SOFTMAX_ZERO|PROBIT", inferLinearClassifier), "label of the best class [N] and scores [N,classes] by linear functions"),
	row("ml.Scaler(X) -> Y", "offset:floats scale:floats", 0, perFeature(inferToF32, "offset", "scale"), "(x - offset) * scale per feature"),
	row("ml.Normalizer(X) -> Y", "norm:string", 0, formed("", "norm=MAX|L1|L2", inferToF32), "division of each row by its MAX, L1 or L2 norm"),
	row("ml.Imputer(X) -> Y", "imputed_value_floats:floats imputed_value_int64s:ints replaced_value_float:float replaced_value_int64:int", 0, perFeature(inferImputer, "imputed_value_floats", "imputed_value_int64s"),
		"replaces missing values per feature"),
	row("ml.Binarizer(X) -> Y", "threshold:float", 0, inferSame, "1 where x > threshold, else 0"),
	row("ml.ArrayFeatureExtractor(X, Y) -> Z", "", 0, inferArrayFeatureExtractor, "columns of the last axis by index"),
	row("ml.FeatureVectorizer(X*) -> Y", "inputdimensions:ints", 0, inferFeatureVectorizer, "features of all operands side by side, f32[N,F]"),
	row("ml.OneHotEncoder(X) -> Y", "cats_int64s:ints cats_strings:strings zeros:int", 0, inferOneHotEncoder, "a new last axis with 1 at the place of the element's category"),
	row("ml.TreeEnsemble(X) -> Y", "aggregate_function:int leaf_targetids:ints leaf_weights:data membership_values:data n_targets:int nodes_falseleafs:ints "+
		"nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:data nodes_missing_value_tracks_true:ints nodes_modes:data nodes_splits:data "+
		"nodes_trueleafs:ints nodes_truenodeids:ints post_transform:int tree_roots:ints", 0, inferTreeEnsemble,
		"sum, mean, min or max over decision trees, [N,targets] in the type of X"),
	row("ml.SVMRegressor(X) -> Y", svmAttrs+"n_supports:int one_class:int", 0, formed("", "kernel_type=LINEAR|POLY|RBF|SIGMOID post_transform=NONE|SOFTMAX|LOGISTIC|SOFTMAX_ZERO|PROBIT", inferSVMRegressor), "support vector regression or, with one_class, its sign, f32[N,1]"),
	row("ml.SVMClassifier(X) -> Y, Z", svmAttrs+"classlabels_ints:ints classlabels_strings:strings prob_a:floats prob_b:floats vectors_per_class:ints", 0, formed("", "kernel_type=LINEAR|POLY|RBF|SIGMOID post_transform=NONE|SOFTMAX|LOGISTIC|SOFTMAX_ZERO|PROBIT", inferSVMClassifier),
		"label of the best class [N] and scores or probabilities by support vectors"),
	row("ml.LabelEncoder(X) -> Y", "default_tensor:data keys_tensor:data values_tensor:data", 0, inferLabelEncoder, "the value at the place of the key that the element equals, or the default"),
	row("ml.CategoryMapper(X) -> Y", "cats_int64s:ints cats_strings:strings default_int64:int default_string:string", 0, inferCategoryMapper, "strings to integers of a list, or back"),
	row("ml.ZipMap(X) -> Z", "classlabels_int64s:ints classlabels_strings:strings", 0, inferZipMap, "a map from class labels to elements for each row"),
	row("ml.DictVectorizer(X) -> Y", "dtype:dtype int64_vocabulary:ints string_vocabulary:strings", 0, inferDictVectorizer, "the values of a map at the places of their keys in a vocabulary, [1,C]"),
	row("ml.CastMap(X) -> Y", "cast_to:string map_form:string max_map:int", 0, inferCastMap, "the values of a map as a row [1,C]"),
}
