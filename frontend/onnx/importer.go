package onnx

import (
	"fmt"
	"strings"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
)

// importer holds what the import of one model needs.
type importer struct {
	src    *source
	opts   Options
	model  *onnxpb.ModelProto
	m      *ir.Module
	report *Report
	rows   map[opKey][]*row

	opsets    map[string]int64 // of the model; functions have their own
	functions map[functionKey]*function

	tensors   map[*onnxpb.TensorProto]*ir.Data
	densified int64 // bytes of all sparse tensors
	bodies    map[any]*body
	free      map[*onnxpb.GraphProto][]string

	symbols     map[string]ir.Dim
	symbolNames map[string]int
	dataNames   map[string]int
	bound       map[string]ir.Dim // by the user, see Options.Shapes

	inferCtx    *ir.InferCtx // types values while importing; upgrades look at ranks and element types
	declared    map[*ir.Value]ir.Type
	nodes       int // imported so far, inlined ones included
	unsupported []UnsupportedNode
}

func newImporter(src *source, opts Options, model *onnxpb.ModelProto) *importer {
	m := ir.NewModule(model.GetGraph().GetName())
	return &importer{
		src: src, opts: opts, model: model, m: m, rows: allRows(), inferCtx: ir.NewInferCtx(m),
		report: &Report{
			IRVersion: model.GetIrVersion(),
			Producer:  strings.TrimSpace(model.GetProducerName() + " " + model.GetProducerVersion()),
			Close:     src.close,
		},
		functions: map[functionKey]*function{}, tensors: map[*onnxpb.TensorProto]*ir.Data{},
		bodies: map[any]*body{}, free: map[*onnxpb.GraphProto][]string{},
		symbols: map[string]ir.Dim{}, symbolNames: map[string]int{}, dataNames: map[string]int{},
		bound: map[string]ir.Dim{}, declared: map[*ir.Value]ir.Type{},
	}
}

func (im *importer) warn(format string, args ...any) {
	im.report.Warnings = append(im.report.Warnings, fmt.Sprintf(format, args...))
}

// run imports the model into im.m.
func (im *importer) run() error {
	model := im.model
	if v := model.GetIrVersion(); v < OldestIR || v > NewestIR {
		return fmt.Errorf("IR version %d, want %d to %d, the largest known", v, OldestIR, NewestIR)
	}
	if model.Graph == nil {
		return fmt.Errorf("the model has no graph")
	}
	var err error
	if im.opsets, err = opsetsOf(model.OpsetImport); err != nil {
		return err
	}
	im.report.Opsets = im.opsets
	if err := im.checkTensors(); err != nil {
		return err
	}
	if err := im.addFunctions(); err != nil {
		return err
	}
	if err := im.bindShapes(model.Graph); err != nil {
		return err
	}
	if err := im.graph(); err != nil {
		return err
	}
	if len(im.unsupported) > 0 {
		return &UnsupportedError{Nodes: im.unsupported}
	}
	im.meta()
	return im.types()
}

// opsetsOf reads opset imports; "ai.onnx" is another name of "".
func opsetsOf(imports []*onnxpb.OperatorSetIdProto) (map[string]int64, error) {
	out := map[string]int64{}
	for _, o := range imports {
		d := domainOf(o.GetDomain())
		if v, ok := out[d]; ok && v != o.GetVersion() {
			return nil, fmt.Errorf("opset of domain %q is imported as %d and as %d", o.GetDomain(), v, o.GetVersion())
		}
		if n, ok := newestOpset[d]; ok && o.GetVersion() > n {
			return nil, fmt.Errorf("opset %d of domain %q, the largest known is %d", o.GetVersion(), o.GetDomain(), n)
		}
		if o.GetVersion() < 1 {
			return nil, fmt.Errorf("opset %d of domain %q, want at least 1", o.GetVersion(), o.GetDomain())
		}
		out[d] = o.GetVersion()
	}
	return out, nil
}

func domainOf(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// meta notes what the model says about itself.
func (im *importer) meta() {
	for k, v := range map[string]string{
		"producer": im.report.Producer, "doc_string": im.model.GetDocString(), "domain": im.model.GetDomain(),
	} {
		if v != "" {
			im.m.Meta[k] = v
		}
	}
	for _, e := range im.model.MetadataProps {
		im.m.Meta[e.GetKey()] = e.GetValue()
	}
}

// types forgets what was inferred along the way and infers all types from the inputs.
func (im *importer) types() error {
	im.m.Graph.Walk(func(op *ir.Op) {
		for _, v := range op.Results {
			if v != nil {
				v.Type = im.declared[v]
			}
		}
		for _, r := range op.Regions {
			for _, p := range r.Params {
				p.Type = im.declared[p]
			}
		}
	})
	warnings, err := ir.Infer(im.m)
	im.report.Warnings = append(im.report.Warnings, warnings...)
	return err
}

// checkTensors holds every tensor of the model against the rules of tensor.go, also those that no node
// reaches: in functions that nobody calls and in training information.
func (im *importer) checkTensors() error {
	if err := im.checkGraph(im.model.Graph, "graph"); err != nil {
		return err
	}
	for _, t := range im.model.TrainingInfo {
		for _, g := range []*onnxpb.GraphProto{t.Initialization, t.Algorithm} {
			if err := im.checkGraph(g, "training info"); err != nil {
				return err
			}
		}
	}
	for _, f := range im.model.Functions {
		where := fmt.Sprintf("function %q", f.GetName())
		if err := im.checkAttributes(f.AttributeProto, where); err != nil {
			return err
		}
		if err := im.checkNodes(f.Node, where); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) checkGraph(g *onnxpb.GraphProto, where string) error {
	for _, t := range g.GetInitializer() {
		if _, err := im.tensor(t); err != nil {
			return fmt.Errorf("%s: initialiser: %w", where, err)
		}
	}
	for _, s := range g.GetSparseInitializer() {
		if err := im.checkSparse(s, where); err != nil {
			return err
		}
	}
	return im.checkNodes(g.GetNode(), where)
}

func (im *importer) checkSparse(s *onnxpb.SparseTensorProto, where string) error {
	if s == nil {
		return nil
	}
	if _, err := im.sparse(s); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

func (im *importer) checkNodes(nodes []*onnxpb.NodeProto, where string) error {
	for _, n := range nodes {
		if err := im.checkAttributes(n.Attribute, fmt.Sprintf("%s: node %q (%s)", where, nodeName(n), n.GetOpType())); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) checkAttributes(attrs []*onnxpb.AttributeProto, where string) error {
	for _, a := range attrs {
		where := fmt.Sprintf("%s: attribute %q", where, a.GetName())
		tensors, graphs, sparse := a.Tensors, a.Graphs, a.SparseTensors
		if a.T != nil {
			tensors = append(tensors[:len(tensors):len(tensors)], a.T)
		}
		if a.G != nil {
			graphs = append(graphs[:len(graphs):len(graphs)], a.G)
		}
		if a.SparseTensor != nil {
			sparse = append(sparse[:len(sparse):len(sparse)], a.SparseTensor)
		}
		for _, t := range tensors {
			if _, err := im.tensor(t); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
		}
		for _, s := range sparse {
			if err := im.checkSparse(s, where); err != nil {
				return err
			}
		}
		for _, g := range graphs {
			if err := im.checkGraph(g, where); err != nil {
				return err
			}
		}
	}
	return nil
}
