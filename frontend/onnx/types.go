package onnx

import (
	"fmt"
	"regexp"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// typeOf makes a declared type. Dimensions that are not given are symbols named after owner.
func (im *importer) typeOf(t *onnxpb.TypeProto, owner string) (ir.Type, error) {
	return im.typeAt(t, owner, 0)
}

func (im *importer) typeAt(t *onnxpb.TypeProto, owner string, depth int) (ir.Type, error) {
	if depth > im.opts.MaxNesting {
		return ir.Type{}, fmt.Errorf("type is nested more than %d deep", im.opts.MaxNesting)
	}
	elem := func(k ir.Kind, key tensor.DType, e *onnxpb.TypeProto) (ir.Type, error) {
		et, err := im.typeAt(e, owner, depth+1)
		return ir.Type{Kind: k, DType: key, Elem: &et}, err
	}
	switch v := t.GetValue().(type) {
	case nil:
		return ir.Type{}, nil
	case *onnxpb.TypeProto_TensorType:
		return im.tensorType(v.TensorType, owner)
	case *onnxpb.TypeProto_SequenceType:
		return elem(ir.KindSeq, tensor.Invalid, v.SequenceType.GetElemType())
	case *onnxpb.TypeProto_OptionalType:
		return elem(ir.KindOptional, tensor.Invalid, v.OptionalType.GetElemType())
	case *onnxpb.TypeProto_MapType:
		key, err := dtypeOf(v.MapType.GetKeyType())
		if err != nil {
			return ir.Type{}, fmt.Errorf("map key: %w", err)
		}
		return elem(ir.KindMap, key, v.MapType.GetValueType())
	}
	return ir.Type{}, fmt.Errorf("type %T is not supported, want a tensor, sequence, optional or map", t.GetValue())
}

func (im *importer) tensorType(t *onnxpb.TypeProto_Tensor, owner string) (ir.Type, error) {
	out := ir.Type{}
	var err error
	if t.GetElemType() != 0 {
		if out.DType, err = dtypeOf(t.GetElemType()); err != nil {
			return out, err
		}
	}
	if t.GetShape() == nil {
		return out, nil
	}
	out.Ranked = true
	var known []int64
	for i, d := range t.Shape.Dim {
		dim, err := im.dim(d, owner, i)
		if err != nil {
			return out, fmt.Errorf("dimension %d: %w", i, err)
		}
		if dim.IsConst() {
			known = append(known, dim.Value())
		}
		out.Shape = append(out.Shape, dim)
	}
	if len(out.Shape) > im.opts.MaxRank {
		return out, fmt.Errorf("rank %d, want at most %d", len(out.Shape), im.opts.MaxRank)
	}
	_, err = im.elements(known)
	return out, err
}

func (im *importer) dim(d *onnxpb.TensorShapeProto_Dimension, owner string, i int) (ir.Dim, error) {
	switch v := d.GetValue().(type) {
	case *onnxpb.TensorShapeProto_Dimension_DimValue:
		if v.DimValue >= 0 {
			return ir.Const(v.DimValue), nil
		}
		if v.DimValue != -1 { // which many exporters write for a dimension that they do not know
			return ir.Dim{}, fmt.Errorf("%d, want at least 0", v.DimValue)
		}
	case *onnxpb.TensorShapeProto_Dimension_DimParam:
		if v.DimParam != "" {
			return im.symbol("dim "+v.DimParam, v.DimParam), nil
		}
	}
	return im.symbol(fmt.Sprintf("%d of %s", i, owner), fmt.Sprintf("%s_%d", owner, i)), nil
}

var (
	notIdent  = regexp.MustCompile(`[^A-Za-z0-9_]+`)
	generated = regexp.MustCompile(`^u[0-9]+$`) // what ir.Module.NewSym makes
)

const maxSymbol = 40 // bytes of a symbol's name

// symbol gives the symbol for key: name made an identifier that no other key has.
func (im *importer) symbol(key, name string) ir.Dim {
	if s, ok := im.symbols[key]; ok {
		return s
	}
	id := notIdent.ReplaceAllString(name, "_")
	if len(id) > maxSymbol {
		id = id[:maxSymbol]
	}
	if id == "" || id[0] >= '0' && id[0] <= '9' || generated.MatchString(id) {
		id = "_" + id
	}
	id = unique(im.symbolNames, id)
	d := ir.Sym(id)
	im.symbols[key] = d
	return d
}

// unique adds a number to name where it is in use, and takes the result into use.
func unique(used map[string]int, name string) string {
	out := name
	for used[out] > 0 {
		out = fmt.Sprintf("%s_%d", name, used[name])
		used[name]++
	}
	used[out] = 1
	return out
}

// bindShapes applies Options.Shapes: the symbols that the replaced dimensions had are bound.
func (im *importer) bindShapes(g *onnxpb.GraphProto) error {
	used := map[string]bool{}
	for _, in := range g.Input {
		dims, ok := im.opts.Shapes[in.GetName()]
		if !ok {
			continue
		}
		used[in.GetName()] = true
		t, err := im.typeOf(in.Type, in.GetName())
		if err != nil {
			return fmt.Errorf("input %q: %w", in.GetName(), err)
		}
		if t.Kind != ir.KindTensor || t.Ranked && len(t.Shape) != len(dims) {
			return fmt.Errorf("input %q is %v, the shape given for it has %d dimensions", in.GetName(), t, len(dims))
		}
		for i := range t.Shape {
			if err := im.bindDim(t.Shape[i], dims[i]); err != nil {
				return fmt.Errorf("input %q, dimension %d: %w", in.GetName(), i, err)
			}
		}
	}
	for name := range im.opts.Shapes {
		if !used[name] {
			return fmt.Errorf("a shape is given for %q, which is no input of the model", name)
		}
	}
	for k, d := range im.symbols {
		im.symbols[k] = d.Subst(im.bound)
	}
	return nil
}

// bindDim records what the user says a declared symbol is.
func (im *importer) bindDim(declared, given ir.Dim) error {
	name := declared.SymName()
	if name == "" {
		return nil
	}
	if old, ok := im.bound[name]; ok && old.IsConst() && given.IsConst() && !old.Equal(given) {
		return fmt.Errorf("the symbol %s is given as %v and as %v", name, old, given)
	}
	im.bound[name] = given
	return nil
}
