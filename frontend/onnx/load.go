package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
)

// Options says how to read a model. The zero value is the default.
type Options struct {
	// Shapes gives dimensions that replace the declared ones of an input, by its name. Where the model
	// declares a symbol there, the symbol is replaced in all declared types.
	Shapes map[string][]ir.Dim
	// AllowHardlinks accepts external data files that have more than one name.
	AllowHardlinks bool

	// Budgets; 0 is the default.
	MaxNesting   int   // graphs within graphs, 30
	MaxCallDepth int   // calls of functions within functions, 100
	MaxNodes     int   // nodes after inlining functions, 1,000,000
	MaxRank      int   // dimensions of a tensor, 64
	MaxElements  int64 // elements of a tensor, 2^31
	MaxFoldBytes int64 // bytes that sparse tensors become when densified, 1 GiB
}

func orDefault[T int | int64](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func (o Options) withDefaults() Options {
	orDefault(&o.MaxNesting, 30)
	orDefault(&o.MaxCallDepth, 100)
	orDefault(&o.MaxNodes, 1_000_000)
	orDefault(&o.MaxRank, 64)
	orDefault(&o.MaxElements, 1<<31)
	orDefault(&o.MaxFoldBytes, 1<<30)
	return o
}

// Report is what there is to say about a model besides the module.
type Report struct {
	Warnings  []string
	Opsets    map[string]int64 // by domain; "" is ai.onnx
	IRVersion int64
	Producer  string // name and version
	// Close unmaps the model and its external data; constants of the module cannot be loaded after it.
	Close func() error
}

// UnsupportedNode names a node whose operator has no row.
type UnsupportedNode struct {
	Op, Domain string
	Opset      int64
	Node       string
	Why        string // "" where the operator is not known at all
}

// UnsupportedError lists all nodes of a model that nnc cannot import.
type UnsupportedError struct{ Nodes []UnsupportedNode }

// Error lists all nodes.
func (e *UnsupportedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d nodes with unsupported operators:", len(e.Nodes))
	for _, n := range e.Nodes {
		fmt.Fprintf(&b, "\n\t%v", ir.Origin{Node: n.Node, Op: n.Op, Domain: n.Domain, Opset: int(n.Opset)})
		if n.Why != "" {
			b.WriteString(": " + n.Why)
		}
	}
	return b.String()
}

// OldestIR and NewestIR are the IR versions that Load accepts.
const (
	OldestIR = 3
	NewestIR = 14
)

// Load reads the model file at path. External data is read from the directory that holds path and
// nowhere else. Errors of kind *UnsupportedError list all operators that nnc does not have.
func Load(path string, opts Options) (*ir.Module, *Report, error) {
	src := &source{allowHardlinks: opts.AllowHardlinks}
	m, rep, err := loadFile(src, path, opts)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, errors.Join(err, src.close()))
	}
	return m, rep, nil
}

func loadFile(src *source, path string, opts Options) (*ir.Module, *Report, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	src.dir = dir
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if src.self, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	if src.bytes, err = src.mapFile(f, src.self); err != nil {
		return nil, nil, err
	}
	return load(src, opts)
}

// LoadBytes reads a model from memory; b must not change while the module is in use. External data is
// relative to dir and refused where dir is "".
func LoadBytes(b []byte, dir string, opts Options) (*ir.Module, *Report, error) {
	src := &source{bytes: b, allowHardlinks: opts.AllowHardlinks}
	if dir != "" {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return nil, nil, err
		}
		src.dir = real
	}
	m, rep, err := load(src, opts)
	if err != nil {
		return nil, nil, errors.Join(err, src.close())
	}
	return m, rep, nil
}

func load(src *source, opts Options) (*ir.Module, *Report, error) {
	opts = opts.withDefaults()
	skel, err := skeleton(src.bytes, opts)
	if err != nil {
		return nil, nil, err
	}
	model := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(skel, model); err != nil {
		return nil, nil, fmt.Errorf("not an ONNX model: %w", err)
	}
	im := newImporter(src, opts, model)
	if err := im.run(); err != nil {
		return nil, nil, err
	}
	return im.m, im.report, nil
}
