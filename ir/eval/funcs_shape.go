package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// shapeFuncs: the functions of the ops in ir/ops_shape.go.
var shapeFuncs = map[string]hostop.Func{
	"CenterCropPad":     hostop.CenterCropPad,
	"Concat":            hostop.Concat,
	"ConstantOfShape":   hostop.ConstantOfShape,
	"DepthToSpace":      hostop.DepthToSpace,
	"Expand":            hostop.Expand,
	"EyeLike":           hostop.EyeLike,
	"Flatten":           hostop.Flatten,
	"Gather":            hostop.Gather,
	"GatherElements":    hostop.GatherElements,
	"GatherND":          hostop.GatherND,
	"Identity":          hostop.Identity,
	"NonMaxSuppression": hostop.NonMaxSuppression,
	"OneHot":            hostop.OneHot,
	"Pad":               hostop.Pad,
	"Range":             hostop.Range,
	"Reshape":           hostop.Reshape,
	"ReverseSequence":   hostop.ReverseSequence,
	"ScatterElements":   hostop.ScatterElements,
	"ScatterND":         hostop.ScatterND,
	"Shape":             hostop.Shape,
	"Size":              hostop.Size,
	"Slice":             hostop.Slice,
	"SpaceToDepth":      hostop.SpaceToDepth,
	"Split":             hostop.Split,
	"Squeeze":           hostop.Squeeze,
	"TensorScatter":     hostop.TensorScatter,
	"Tile":              hostop.Tile,
	"Transpose":         hostop.Transpose,
	"Trilu":             hostop.Trilu,
	"Unsqueeze":         hostop.Unsqueeze,
}
