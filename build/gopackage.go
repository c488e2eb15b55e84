package build

import (
	"fmt"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// goTypes maps element types to the Go types of a package's inputs and outputs.
var goTypes = map[tensor.DType]string{
	tensor.F32: "float32", tensor.F64: "float64", tensor.F16: "uint16", tensor.BF16: "uint16", tensor.Bool: "bool",
	tensor.U8: "uint8", tensor.I8: "int8", tensor.U16: "uint16", tensor.I16: "int16", tensor.U32: "uint32", tensor.I32: "int32",
	tensor.U64: "uint64", tensor.I64: "int64",
}

// goName makes an exported Go identifier of an ONNX name: "data_0" becomes Data0.
func goName(s string) string {
	var b strings.Builder
	up := true
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) || r > unicode.MaxASCII {
			up = true
			continue
		}
		if b.Len() == 0 && unicode.IsDigit(r) {
			b.WriteByte('V')
		}
		if up {
			r = unicode.ToUpper(r)
		}
		up = false
		b.WriteRune(r)
	}
	if b.Len() == 0 {
		return "Value"
	}
	return b.String()
}

// field is an input or output in the generated API.
type field struct {
	Name, ONNX, Type string
	Index            int
	DType            tensor.DType
	Doc              string // "f32[N,3,224,224]"
	Static, Optional bool
	Box              *boxType // of a value that is no tensor of a fixed rank and Go element type; Type is Box.Go
	Recorded         bool     // there is a golden value
	Shape            []int64  // Static's shape; a dynamic one with 1 for each symbol, or as recorded
}

func fields(p *plan.Plan, ios []plan.IO) ([]field, error) {
	used := map[string]bool{}
	var out []field
	for i, io := range ios {
		f := field{Name: goName(io.Name), ONNX: io.Name, Type: goTypes[io.DType], Index: i, DType: io.DType, Doc: io.TypeString(), Static: true,
			Optional: io.Default >= 0 || io.Optional}
		if io.Boxed() {
			b, err := boxTypeOf(&io)
			if err != nil {
				return nil, err
			}
			f.Type, f.Box, f.Static = b.Go, &b, false
		}
		if f.Type == "" {
			return nil, fmt.Errorf("%q has type %s, which a Go package cannot take; use -emit=exe", io.Name, io.TypeString())
		}
		for used[f.Name] || used[f.Name+"Shape"] {
			f.Name += "X"
		}
		used[f.Name], used[f.Name+"Shape"] = true, true
		for _, s := range io.Shape {
			n := int64(1)
			if d := p.Slots[s]; d.Op == plan.SlotConst {
				n = d.Imm
			} else {
				f.Static = false
			}
			f.Shape = append(f.Shape, n)
		}
		out = append(out, f)
	}
	return out, nil
}

// PackageOptions steer GoPackage.
type PackageOptions struct {
	Module  string // module path; "" for the package name
	Command string // how the package was made, for doc.go
	Golden  *Golden
}

// Golden is a recorded run, for the tests of a package.
type Golden struct {
	In, Out   []*tensor.Tensor // in the plan's order; nil for an absent input
	Tolerance float64          // of outputs, relative to the largest value of each; 0 means 1e-3
}

// maxEmbed is about the most that Go's linker takes in one program.
const maxEmbed = 2_000_000_000

// GoPackage writes a complete Go module for the model into dir, replacing an older one made by nnc.
func (m *Model) GoPackage(dir string, o PackageOptions) error {
	if n := m.Weights.Size(); n > maxEmbed {
		return fmt.Errorf("build: %d bytes of weights are too many for a Go package (at most %d); use -emit=exe", n, maxEmbed)
	}
	pkg := Identifier(m.Name)
	if token.IsKeyword(pkg) || pkg == "main" || types.Universe.Lookup(pkg) != nil {
		pkg += "model"
	}
	if o.Module == "" {
		o.Module = pkg
	}
	data, err := m.packageData(pkg, o)
	if err != nil {
		return err
	}
	return installDir(dir, func(tmp string) error {
		prefix := o.Module + "/internal/nnc"
		if err := m.core(tmp, pkg, prefix, "nnc_"+CIdentifier(o.Module)+"_", anyLinkage); err != nil {
			return err
		}
		if err := copyRuntime(filepath.Join(tmp, "internal", "nnc"), prefix, library); err != nil {
			return err
		}
		if err := render(tmp, "package", data, "go.mod", "doc.go", "model.go", "model_test.go", "example_test.go"); err != nil {
			return err
		}
		if data["Boxes"].(bool) {
			if err := render(tmp, "package", data, "boxes.go"); err != nil {
				return err
			}
		}
		if err := o.Golden.write(filepath.Join(tmp, "testdata")); err != nil {
			return err
		}
		return writeWhole(filepath.Join(tmp, "weights.bin"), 0o666, func(f *os.File) error { return copyTo(f, m.Weights) })
	})
}

// packageData is what the templates of a package are filled from.
func (m *Model) packageData(pkg string, o PackageOptions) (map[string]any, error) {
	p := m.plan()
	in, err := fields(p, p.Inputs)
	if err != nil {
		return nil, err
	}
	out, err := fields(p, p.Outputs)
	if err != nil {
		return nil, err
	}
	tolerance := 1e-3
	if g := o.Golden; g != nil {
		if err := g.shape("input", in, g.In); err != nil {
			return nil, err
		}
		if err := g.shape("output", out, g.Out); err != nil {
			return nil, err
		}
		if g.Tolerance > 0 {
			tolerance = g.Tolerance
		}
	}
	command := o.Command
	if command == "" {
		command = "nnc build"
	}
	isBox := func(f field) bool { return f.Box != nil }
	isPlain := func(f field) bool { return f.Box == nil }
	return map[string]any{"BoxesOut": slices.ContainsFunc(out, isBox), "Boxes": slices.ContainsFunc(slices.Concat(in, out), isBox), "Plain": slices.ContainsFunc(in, isPlain), "PlainOut": slices.ContainsFunc(out, isPlain), "Package": pkg, "Module": o.Module, "Runtime": o.Module + "/internal/nnc", "Model": m.Name, "Inputs": in, "Outputs": out,
		"Command": command, "Pure": m.Pure != nil, "Golden": o.Golden != nil, "Tolerance": tolerance, "OnlyFor": "it was compiled for " + strings.Join(m.platforms(), ", ") + " only"}, nil
}

// platforms lists what the model was compiled for, as "linux/amd64".
func (m *Model) platforms() []string {
	var ps []string
	for _, a := range m.Archs {
		for _, os := range a.Systems {
			ps = append(ps, os+"/"+a.Target.Arch.Name)
		}
	}
	slices.Sort(ps)
	return ps
}

// shape takes over the shapes of recorded values.
func (g *Golden) shape(kind string, fs []field, ts []*tensor.Tensor) error {
	if len(fs) != len(ts) {
		return fmt.Errorf("build: golden run: got %d %ss, want %d", len(ts), kind, len(fs))
	}
	for i, t := range ts {
		if t == nil && fs[i].Optional {
			continue
		}
		if t == nil || t.DType != fs[i].DType {
			return fmt.Errorf("build: golden run: %s %q is missing or not %v", kind, fs[i].ONNX, fs[i].DType)
		}
		fs[i].Shape, fs[i].Recorded = t.Shape, true
	}
	return nil
}

func (g *Golden) write(dir string) error {
	if g == nil {
		return nil
	}
	for kind, ts := range map[string][]*tensor.Tensor{"in": g.In, "out": g.Out} {
		for i, t := range ts {
			if t == nil {
				continue
			}
			if err := writeFile(filepath.Join(dir, fmt.Sprintf("golden_%s_%d.bin", kind, i)), t.Data); err != nil {
				return err
			}
		}
	}
	return nil
}
