//go:build unix

package onnx

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
)

// places puts a tensor wherever a tensor can stand in a model.
var places = map[string]func(*onnxpb.TensorProto) *onnxpb.ModelProto{
	"initialiser": func(t *onnxpb.TensorProto) *onnxpb.ModelProto {
		m := relu()
		t.Name = proto.String("w")
		m.Graph.Initializer = append(m.Graph.Initializer, t)
		return m
	},
	"Constant": func(t *onnxpb.TensorProto) *onnxpb.ModelProto {
		return model(17, nil, nil, node("Constant", nil, names("y"), attrOf("value", t)))
	},
	"attribute": func(t *onnxpb.TensorProto) *onnxpb.ModelProto {
		return model(17, inputs(value("x", 7, 1)), nil, node("ConstantOfShape", names("x"), names("y"), attrOf("value", t)))
	},
	"tensors of an attribute": func(t *onnxpb.TensorProto) *onnxpb.ModelProto {
		m := relu()
		m.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("consumed_inputs"), Tensors: []*onnxpb.TensorProto{t}}}
		return m
	},
	"subgraph": func(t *onnxpb.TensorProto) *onnxpb.ModelProto {
		t.Name = proto.String("w")
		g := &onnxpb.GraphProto{Initializer: []*onnxpb.TensorProto{t}, Output: outputs("w")}
		return model(17, inputs(value("c", 9)), nil, node("If", names("c"), names("y"), attrOf("then_branch", g), attrOf("else_branch", g)))
	},
	"function": func(t *onnxpb.TensorProto) *onnxpb.ModelProto {
		m := relu()
		m.Functions = []*onnxpb.FunctionProto{{Name: proto.String("F"), Node: []*onnxpb.NodeProto{node("Constant", nil, names("q"), attrOf("value", t))}}}
		return m
	},
	"sparse values": func(t *onnxpb.TensorProto) *onnxpb.ModelProto {
		m := relu()
		t.Name = proto.String("w")
		m.Graph.SparseInitializer = []*onnxpb.SparseTensorProto{{Values: t, Indices: int64s("", 0, 1), Dims: []int64{2}}}
		return m
	},
	"sparse indices": func(t *onnxpb.TensorProto) *onnxpb.ModelProto {
		return model(17, nil, nil, node("Constant", nil, names("y"), attrOf("sparse_value",
			&onnxpb.SparseTensorProto{Values: floats("", []int64{2}, 1, 2), Indices: t, Dims: []int64{2}})))
	},
	"training info": func(t *onnxpb.TensorProto) *onnxpb.ModelProto {
		m := relu()
		m.TrainingInfo = []*onnxpb.TrainingInfoProto{{Algorithm: &onnxpb.GraphProto{Initializer: []*onnxpb.TensorProto{t}}}}
		return m
	},
}

// ext makes a tensor f32[2] of external data; kv are keys and values.
func ext(kv ...string) *onnxpb.TensorProto {
	t := &onnxpb.TensorProto{Dims: []int64{2}, DataType: proto.Int32(1), DataLocation: onnxpb.TensorProto_EXTERNAL.Enum()}
	for i := 0; i < len(kv); i += 2 {
		t.ExternalData = append(t.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(kv[i]), Value: proto.String(kv[i+1])})
	}
	return t
}

// attackDir makes a directory with files to attack with.
func attackDir(t *testing.T) (dir string) {
	top := t.TempDir()
	dir = filepath.Join(top, "model")
	require.NoError(t, os.Mkdir(dir, 0o755))
	data := []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}
	for _, name := range []string{"model/ok", "model/hard", "secret"} {
		require.NoError(t, os.WriteFile(filepath.Join(top, name), data, 0o644))
	}
	require.NoError(t, os.Link(filepath.Join(dir, "hard"), filepath.Join(dir, "hard2")))
	require.NoError(t, os.Symlink("ok", filepath.Join(dir, "inside")))
	require.NoError(t, os.Symlink("../secret", filepath.Join(dir, "outside")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	return dir
}

// refused lists tensors that no place may accept, and what the error says.
func refused() map[string]*onnxpb.TensorProto {
	raw := func(dt int32, n int, dims ...int64) *onnxpb.TensorProto {
		return &onnxpb.TensorProto{Dims: dims, DataType: proto.Int32(dt), RawData: make([]byte, n)}
	}
	with := func(t *onnxpb.TensorProto, f func(*onnxpb.TensorProto)) *onnxpb.TensorProto { f(t); return t }
	many := make([]int64, 65)
	return map[string]*onnxpb.TensorProto{
		"is empty": ext("location", ""), "is absolute": ext("location", "/etc/passwd"), "contains ..": ext("location", "folder/../../secret"),
		"backslash": ext("location", `a\b`), "drive letter": ext("location", "C:x"), "NUL": ext("location", "a\x00b"),
		"no location": ext("offset", "0"), "twice": ext("location", "ok", "location", "ok"), "unknown key": ext("location", "ok", "size", "8"),
		"not a regular file": ext("location", "fifo"), "a regular file but d": ext("location", "folder"), "no such file": ext("location", "absent"),
		"hard links": ext("location", "hard"), "escapes": ext("location", "outside"), "model file itself": ext("location", "model.onnx"),
		"has 7 bytes, want 8": ext("location", "ok", "length", "7"), "length \"+8\"": ext("location", "ok", "length", "+8"),
		"offset \"-1\"": ext("location", "ok", "offset", "-1"), "offset 9 is beyond": ext("location", "ok", "offset", "9"),
		"reach beyond": ext("location", "ok", "offset", "4", "length", "8"), "below 2^63": ext("location", "ok", "offset", "99999999999999999999"),
		"offset 9223372036854775807 is beyond": ext("location", "ok", "offset", "9223372036854775807", "length", "8"),
		"offset \"\"":                          ext("location", "ok", "offset", ""), "SHA-1": ext("location", "ok", "checksum", strings.Repeat("0", 40)),
		"raw_data and external_data": with(ext("location", "ok"), func(t *onnxpb.TensorProto) { t.RawData = make([]byte, 8) }),
		"float_data and int32_data":  with(raw(1, 0, 1), func(t *onnxpb.TensorProto) { t.RawData, t.FloatData, t.Int32Data = nil, []float32{1}, []int32{1} }),
		"raw_data and float_data":    with(raw(1, 4, 1), func(t *onnxpb.TensorProto) { t.FloatData = []float32{1} }),
		"data location":              with(ext("location", "ok"), func(t *onnxpb.TensorProto) { t.DataLocation = nil }),
		"dimension 1 is -2":          raw(1, 8, 1, -2), "more than 2147483648 elements": raw(1, 8, 1<<40, 1<<40),
		"4 bytes, want 0": raw(1, 4, 0, 3), "raw data has 7 bytes": raw(1, 7, 2), "raw data has 9 bytes": raw(1, 9, 2),
		"raw data has 1 bytes, want 2": raw(22, 1, 3), "raw data has 3 bytes, want 2": raw(22, 3, 3), "rank 65": raw(1, 0, many...),
		"data type 99": raw(99, 8, 2), "data type 0": raw(0, 8, 2), "0 entries": {Dims: []int64{2}, DataType: proto.Int32(1)},
		"segmented": with(raw(1, 8, 2), func(t *onnxpb.TensorProto) { t.Segment = &onnxpb.TensorProto_Segment{} }),
		"strings":   with(raw(8, 8, 2), func(*onnxpb.TensorProto) {}),
	}
}

func TestRefusedTensors(t *testing.T) {
	dir := attackDir(t)
	path := filepath.Join(dir, "model.onnx")
	for what, tp := range refused() {
		for place, build := range places {
			m := build(proto.Clone(tp).(*onnxpb.TensorProto))
			require.NoError(t, os.WriteFile(path, marshal(t, m), 0o644))
			_, _, err := Load(path, Options{})
			require.ErrorContains(t, err, what, place)
		}
	}
}

func TestAcceptedExternalData(t *testing.T) {
	dir := attackDir(t)
	path := filepath.Join(dir, "model.onnx")
	sum := sha1.Sum([]byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40})
	for name, opts := range map[string]Options{"ok": {}, "inside": {}, "hard": {AllowHardlinks: true}, "./ok": {}} {
		e := ext("location", name, "offset", "0", "length", "8", "checksum", hex.EncodeToString(sum[:]))
		require.NoError(t, os.WriteFile(path, marshal(t, places["Constant"](e)), 0o644))
		m, rep, err := Load(path, opts)
		require.NoError(t, err, name)
		d := ir.ConstOf(m.Graph.Results[0])
		b, err := d.Load()
		require.NoError(t, err)
		require.Equal(t, byte(0x40), b[7])
		require.NoError(t, rep.Close())
		_, err = d.Load()
		require.ErrorIs(t, err, errClosed)
	}
	_, _, err := LoadBytes(marshal(t, places["Constant"](ext("location", "ok"))), "", Options{})
	require.ErrorContains(t, err, "no directory")
	_, _, err = Load(filepath.Join(dir, "fifo"), Options{})
	require.ErrorContains(t, err, "not a regular file")
}

func TestSparseBounds(t *testing.T) {
	vals := func(n int) *onnxpb.TensorProto { return floats("", []int64{int64(n)}, make([]float32, n)...) }
	for what, s := range map[string]*onnxpb.SparseTensorProto{
		"want 0 to 2":         {Values: vals(1), Indices: int64s("", 3), Dims: []int64{3}},
		"do not ascend":       {Values: vals(2), Indices: int64s("", 1, 1), Dims: []int64{3}},
		"dense data":          {Values: vals(1), Indices: int64s("", 0), Dims: []int64{1 << 30}},
		"more than":           {Values: vals(1), Indices: int64s("", 0), Dims: []int64{1 << 40}},
		"indices have shape":  {Values: vals(2), Indices: int64s("", 0), Dims: []int64{3}},
		"missing":             {Values: vals(1), Dims: []int64{3}},
		"indices of type f32": {Values: vals(1), Indices: vals(1), Dims: []int64{3}},
	} {
		_, _, err := importModel(t, model(17, nil, nil, node("Constant", nil, names("y"), attrOf("sparse_value", s))), Options{})
		require.ErrorContains(t, err, what)
	}
}

// TestRefusedGraphs: rows 8 and 9.
func TestRefusedGraphs(t *testing.T) {
	x := inputs(value("x", 1, 2))
	chain := func(n int, calls int) *onnxpb.ModelProto {
		m := model(17, x, nil, &onnxpb.NodeProto{OpType: proto.String("f0"), Domain: proto.String("local"), Input: names("x"), Output: names("y")})
		for i := range n {
			f := &onnxpb.FunctionProto{Name: proto.String(fmt.Sprint("f", i)), Domain: proto.String("local"), Input: names("x"), Output: names("v0"), OpsetImport: m.OpsetImport}
			next := fmt.Sprint("f", i+1)
			for k := range calls {
				op := &onnxpb.NodeProto{OpType: proto.String(next), Domain: proto.String("local"), Input: names("x"), Output: names(fmt.Sprint("v", k))}
				if i == n-1 {
					op = node("Relu", names("x"), names(fmt.Sprint("v", k)))
				}
				f.Node = append(f.Node, op)
			}
			m.Functions = append(m.Functions, f)
		}
		return m
	}
	self := chain(1, 1)
	self.Functions[0].Node[0] = self.Graph.Node[0]
	nested := relu().Graph
	for range 31 {
		nested = &onnxpb.GraphProto{Node: []*onnxpb.NodeProto{node("If", names("x"), nil, attrOf("then_branch", nested))}}
	}
	deep := relu()
	deep.Graph = nested
	dup := model(17, x, nil, node("Relu", names("x"), names("y")), node("Abs", names("x"), names("y")))
	shadow := &onnxpb.GraphProto{Node: []*onnxpb.NodeProto{node("Abs", names("x"), names("z"))}, Output: outputs("z")}
	twice := relu()
	twice.Graph.Output = outputs("y", "y")
	for what, m := range map[string]*onnxpb.ModelProto{
		"more than 1000000 nodes":   chain(22, 2),
		"more than 100 deep":        chain(101, 1),
		"calls itself":              self,
		"nested more than 30":       deep,
		"defined twice":             dup,
		"two outputs":               twice,
		`cycle: "b", "a"`:           model(17, x, nil, node("Relu", names("b"), names("a")), node("Abs", names("a"), names("b"))),
		"defined in a graph around": model(17, inputs(value("x", 1), value("c", 9)), nil, node("Exp", names("x"), names("z")), node("If", names("c"), names("y"), attrOf("then_branch", shadow), attrOf("else_branch", shadow))),
		`"q" is not defined`:        model(17, x, nil, node("Relu", names("q"), names("y"))),
		`output "y" is not defined`: model(17, x, nil, node("Relu", names("x"), names("z"))),
		`"alpha" is unknown`:        model(17, x, nil, node("Relu", names("x"), names("y"), attrOf("alpha", 1))),
		`"axis" is missing`:         model(17, x, nil, node("Concat", names("x"), names("y"))),
		"type INTS, want INT":       model(17, x, nil, node("Concat", names("x"), names("y"), attrOf("axis", []int64{1}))),
		"given twice":               model(17, x, nil, node("Concat", names("x"), names("y"), attrOf("axis", 0), attrOf("axis", 0))),
		"0 inputs, want at least 1": model(17, x, nil, node("Relu", names(""), names("y"))),
		"input 0 (A) is missing":    model(17, x, nil, node("Add", names("", "x"), names("y"))),
		"largest known is 28":       model(29, x, nil, node("Relu", names("x"), names("y"))),
	} {
		start := time.Now()
		_, _, err := importModel(t, m, Options{})
		require.ErrorContains(t, err, what)
		require.Less(t, time.Since(start), 5*time.Second, what)
	}
	_, _, err := importModel(t, chain(16, 2), Options{})
	require.NoError(t, err)
}

// rich is a model with something of everything, below 1 KiB.
func rich() *onnxpb.ModelProto {
	m := model(17, inputs(value("x", 1, "N", 4), value("c", 9)), []*onnxpb.TensorProto{floats("w", []int64{4, 2}, 1, 2, 3, 4, 5, 6, 7, 8), int64s("axes", 0)},
		node("MatMul", names("x", "w"), names("a")),
		&onnxpb.NodeProto{OpType: proto.String("F"), Domain: proto.String("local"), Input: names("a"), Output: names("b"), Attribute: []*onnxpb.AttributeProto{attrOf("alpha", float32(.1))}},
		node("If", names("c"), names("d"), attrOf("then_branch", &onnxpb.GraphProto{Node: []*onnxpb.NodeProto{node("Neg", names("b"), names("t"))}, Output: outputs("t")}),
			attrOf("else_branch", &onnxpb.GraphProto{Initializer: []*onnxpb.TensorProto{floats("e", []int64{1, 2}, 1, 2)}, Output: outputs("e")})),
		node("Unsqueeze", names("d", "axes"), names("y")))
	ref := &onnxpb.AttributeProto{Name: proto.String("alpha"), RefAttrName: proto.String("alpha"), Type: onnxpb.AttributeProto_FLOAT.Enum()}
	m.Functions = []*onnxpb.FunctionProto{{
		Name: proto.String("F"), Domain: proto.String("local"), Input: names("p"), Output: names("q"), Attribute: names("alpha"), OpsetImport: m.OpsetImport,
		Node: []*onnxpb.NodeProto{node("LeakyRelu", names("p"), names("q"), ref)},
	}}
	m.Graph.SparseInitializer = []*onnxpb.SparseTensorProto{{Values: floats("s", []int64{1}, 5), Indices: int64s("", 1), Dims: []int64{2}}}
	return m
}

// TestDamage: every truncation and every flipped byte gives an error or a module whose constants load.
func TestDamage(t *testing.T) {
	b := marshal(t, rich())
	_, _, err := LoadBytes(b, "", Options{})
	require.NoError(t, err)
	for i := range b {
		tryLoad(b[:i])
		for _, flip := range []byte{0xff, 1, 0x80} {
			c := append([]byte{}, b...)
			c[i] ^= flip
			tryLoad(c)
		}
	}
}

// tryLoad loads a model that may be bad, and its constants.
func tryLoad(b []byte) {
	m, rep, err := LoadBytes(b, "", Options{MaxNodes: 10_000, MaxFoldBytes: 1 << 20})
	if err != nil {
		return
	}
	m.Graph.Walk(func(op *ir.Op) {
		if len(op.Results) > 0 && op.Name() == "Const" {
			_, _ = ir.ConstOf(op.Results[0]).Tensor()
		}
	})
	_ = rep.Close()
}

// TestAllocation: a small file must not make the loader allocate much.
func TestAllocation(t *testing.T) {
	big := floats("w", []int64{1 << 29})
	big.RawData = nil
	for name, tp := range map[string]*onnxpb.TensorProto{"empty": big, "external": ext("location", strconv.Itoa(1<<30))} {
		b := marshal(t, places["initialiser"](tp))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := LoadBytes(b, t.TempDir(), Options{})
		runtime.ReadMemStats(&after)
		require.Error(t, err)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), name)
	}
}

func FuzzLoad(f *testing.F) {
	for _, m := range []*onnxpb.ModelProto{relu(), rich()} {
		f.Add(marshal(f, m))
	}
	for _, build := range places {
		f.Add(marshal(f, build(floats("w", []int64{2}, 1, 2))))
	}
	f.Fuzz(func(t *testing.T, b []byte) { tryLoad(b) })
}
