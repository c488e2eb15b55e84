package filetest

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// testCase is a section of a file.
type testCase struct {
	module   *ir.Module
	dims     []symbol
	in, out  map[string]string // JSON by name
	ranges   map[string][2]float64
	special  bool
	signs    bool
	optimize bool
	noHost   bool
	fast     bool
	seed     uint64
	ulp, tol float64
	wantErr  []string       // what the error contains; none where there must be no error
	got      []hostop.Value // the evaluator's answer, of the last run
}

// symbol is a dimension with the sizes that it takes.
type symbol struct {
	name  string
	sizes []int64
}

// directives are what may stand after "#!", each with the parser of its rest.
var directives = map[string]func(c *testCase, rest string) error{
	"dims":     (*testCase).parseDims,
	"in":       func(c *testCase, rest string) error { return parseJSON(c.in, rest) },
	"out":      func(c *testCase, rest string) error { return parseJSON(c.out, rest) },
	"range":    (*testCase).parseRange,
	"special":  func(c *testCase, _ string) error { c.special = true; return nil },
	"signs":    func(c *testCase, _ string) error { c.signs = true; return nil },
	"optimize": func(c *testCase, _ string) error { c.optimize = true; return nil },
	"fast":     func(c *testCase, _ string) error { c.fast, c.optimize = true, true; return nil },
	"compiled": func(c *testCase, _ string) error { c.noHost = true; return nil },
	"error":    func(c *testCase, rest string) error { c.wantErr = append(c.wantErr, rest); return nil },
	"seed": func(c *testCase, rest string) (err error) {
		c.seed, err = strconv.ParseUint(rest, 10, 64)
		return err
	},
	"ulp": func(c *testCase, rest string) (err error) {
		c.ulp, err = strconv.ParseFloat(rest, 64)
		return err
	},
	"tol": func(c *testCase, rest string) (err error) {
		c.tol, err = strconv.ParseFloat(rest, 64)
		return err
	},
}

func parseCase(text string) (*testCase, error) {
	c := &testCase{in: map[string]string{}, out: map[string]string{}, ranges: map[string][2]float64{}, ulp: 4}
	for i, line := range strings.Split(text, "\n") {
		d, ok := strings.CutPrefix(line, "#!")
		if !ok {
			continue
		}
		name, rest, _ := strings.Cut(strings.TrimSpace(d), " ")
		f := directives[name]
		if f == nil {
			return nil, fmt.Errorf("line %d: no directive %q, want one of %v", i+1, name, slices.Sorted(maps.Keys(directives)))
		}
		if err := f(c, strings.TrimSpace(rest)); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	var err error
	if c.module, err = ir.Parse(text); err != nil {
		return nil, err
	}
	if _, err = ir.Infer(c.module); err != nil && c.wantErr == nil {
		return nil, err
	}
	return c, c.checkNames()
}

// checkNames finds directives about inputs and outputs that are not there.
func (c *testCase) checkNames() error {
	for _, n := range slices.Concat(slices.Collect(maps.Keys(c.in)), slices.Collect(maps.Keys(c.ranges))) {
		if !slices.Contains(c.module.Inputs, n) {
			return fmt.Errorf("no input %q, there are %v", n, c.module.Inputs)
		}
	}
	for n := range c.out {
		if !slices.Contains(c.module.Outputs, n) {
			return fmt.Errorf("no output %q, there are %v", n, c.module.Outputs)
		}
	}
	return nil
}

func (c *testCase) parseDims(rest string) error {
	for _, f := range strings.Fields(rest) {
		name, list, _ := strings.Cut(f, "=")
		s := symbol{name: name}
		for _, x := range strings.Split(list, ",") {
			n, err := strconv.ParseInt(x, 10, 64)
			if err != nil || n < 0 {
				return fmt.Errorf("size %q of %s, want a number", x, name)
			}
			s.sizes = append(s.sizes, n)
		}
		c.dims = append(c.dims, s)
	}
	return nil
}

func (c *testCase) parseRange(rest string) error {
	f := strings.Fields(rest)
	if len(f) != 3 {
		return fmt.Errorf("range %s, want a name and two numbers", rest)
	}
	lo, err1 := strconv.ParseFloat(f[1], 64)
	hi, err2 := strconv.ParseFloat(f[2], 64)
	if err1 != nil || err2 != nil || lo >= hi {
		return fmt.Errorf("range %s, want two numbers, the lower first", rest)
	}
	c.ranges[f[0]] = [2]float64{lo, hi}
	return nil
}

func parseJSON(to map[string]string, rest string) error {
	name, text, ok := strings.Cut(rest, "=")
	if !ok {
		return fmt.Errorf("%q, want name = JSON", rest)
	}
	to[strings.TrimSpace(name)] = strings.TrimSpace(text)
	return nil
}

// updated replaces the expected results in a case's text by the evaluator's.
func (c *testCase) updated(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		rest, ok := strings.CutPrefix(line, "#! out ")
		if !ok || c.got == nil {
			continue
		}
		name, _, _ := strings.Cut(rest, "=")
		name = strings.TrimSpace(name)
		var b bytes.Buffer
		if tensorio.EncodeJSON(&b, c.got[slices.Index(c.module.Outputs, name)]) == nil {
			lines[i] = "#! out " + name + " = " + strings.TrimSpace(b.String())
		}
	}
	return strings.Join(lines, "\n")
}

// bindings lists all choices of sizes.
func (c *testCase) bindings() []map[string]int64 {
	all := []map[string]int64{{}}
	for _, s := range c.dims {
		var next []map[string]int64
		for _, env := range all {
			for _, n := range s.sizes {
				e := maps.Clone(env)
				e[s.name] = n
				next = append(next, e)
			}
		}
		all = next
	}
	return all
}

// inputs makes the inputs of a run.
func (c *testCase) inputs(dims map[string]int64, run uint64) ([]hostop.Value, error) {
	rng := rand.New(rand.NewPCG(c.seed, run))
	var in []hostop.Value
	for i, p := range c.module.Graph.Params {
		name := c.module.Inputs[i]
		if p.Type.Kind != ir.KindTensor || !p.Type.Ranked {
			text, ok := c.in[name]
			if !ok {
				return nil, fmt.Errorf("input %s has type %v; give it with #! in", name, p.Type)
			}
			v, err := decode(text, p.Type, nil)
			if err != nil {
				return nil, fmt.Errorf("input %s: %w", name, err)
			}
			in = append(in, v)
			continue
		}
		shape := make([]int64, len(p.Type.Shape))
		for j, d := range p.Type.Shape {
			n, ok := d.Eval(dims)
			if !ok {
				return nil, fmt.Errorf("input %s: no size for dimension %v; give it with #! dims", name, d)
			}
			shape[j] = n
		}
		x := tensor.New(p.Type.DType, shape...)
		if text, ok := c.in[name]; ok {
			v, err := decode(text, p.Type, x)
			if err != nil {
				return nil, fmt.Errorf("input %s: %w", name, err)
			}
			in = append(in, v)
			continue
		}
		if err := c.fill(rng, x, name); err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		in = append(in, x)
	}
	return in, nil
}

// specials are floats that code for ordinary ones gets wrong.
var specials = []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1, -1, math.SmallestNonzeroFloat32, math.MaxFloat32}

// fill makes random elements: floats and signed integers around 0, unsigned ones from 0 on.
func (c *testCase) fill(rng *rand.Rand, x *tensor.Tensor, name string) error {
	if d := x.DType; d.Bits() < 8 || d.IsFloat() && d.Bits() == 8 { // any code will do
		for i := range x.Data {
			x.Data[i] = byte(rng.Uint32())
		}
		if rest := x.Len() * int64(d.Bits()) % 8; rest > 0 {
			x.Data[len(x.Data)-1] &= 1<<rest - 1
		}
		return nil
	}
	if x.DType.Class() == tensor.ClassComplex {
		return c.fill(rng, testcase.AsParts(x), name)
	}
	r, ok := c.ranges[name]
	if !ok {
		r = map[tensor.Class][2]float64{tensor.ClassFloat: {-2, 2}, tensor.ClassInt: {-8, 8}, tensor.ClassUint: {0, 16}, tensor.ClassBool: {0, 2}}[x.DType.Class()]
	}
	if r[0] == r[1] {
		return fmt.Errorf("no random elements of type %v; give it with #! in", x.DType)
	}
	for i := range x.Len() {
		v := r[0] + rng.Float64()*(r[1]-r[0])
		if c.special && x.DType.IsFloat() && rng.IntN(3) == 0 {
			v = specials[rng.IntN(len(specials))]
		}
		if !x.DType.IsFloat() {
			v = math.Floor(v)
		}
		set(x, i, v)
	}
	return nil
}

// set stores a number that the element type can hold.
func set(x *tensor.Tensor, i int64, v float64) {
	switch x.DType {
	case tensor.F64:
		tensor.View[float64](x)[i] = v
	case tensor.F32:
		tensor.View[float32](x)[i] = float32(v)
	case tensor.F16:
		tensor.BytesAs[uint16](x.Data)[i] = tensor.F32ToF16(float32(v))
	case tensor.BF16:
		tensor.BytesAs[uint16](x.Data)[i] = tensor.F32ToBF16(float32(v))
	default:
		n := uint64(int64(v))
		for k := range x.DType.Size() {
			x.Data[int(i)*x.DType.Size()+k] = byte(n >> (8 * k))
		}
	}
}

// decode reads JSON as a value of a type; as a tensor with the shape of like where the JSON is flat or empty.
func decode(text string, typ ir.Type, like hostop.Value) (hostop.Value, error) {
	w := tensorio.Want{}
	for ; typ.Kind != ir.KindTensor; typ = *typ.Elem {
		switch {
		case typ.Kind == ir.KindSeq:
			w.Kind = tensorio.KindSeq
		case typ.Kind == ir.KindMap && w.Kind != tensorio.KindSeq:
			w.Kind = tensorio.KindMap
		}
	}
	w.DType = typ.DType
	v, err := tensorio.DecodeJSON([]byte(text), w)
	if err != nil {
		return nil, err
	}
	t, ok := v.(*tensor.Tensor)
	l, ok2 := like.(*tensor.Tensor)
	if ok && ok2 && len(t.Shape) == 1 && t.Len() == l.Len() {
		t.Shape = l.Shape
	}
	return v, nil
}
