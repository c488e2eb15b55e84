package ir

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/tensor"
)

func checkRoundTrip(t *testing.T, m *Module) {
	t.Helper()
	text := Print(m)
	again, err := Parse(text)
	require.NoError(t, err, text)
	require.Equal(t, text, Print(again))
}

const everything = `module "all \"kinds\""
meta "producer" = "by hand"
default "in put" = f32[2] [0.1, -0]
graph (%x: f32[2] as "in put", %0 "not a word": f32[max(M+1,N),div(H+1,2)], %s: seq<f32[...]>, %o: opt<seq<string[]>>, %m: map<i64,f32[]>, %c: bool[]) -> (%y, %x as "out") {
  %n: f32[1] = Const() {value = f32[1] 0x0100c07f}
  %h: f16[2] = Const() {value = f16[2] 0x003c0000}
  %b: bool[2] = Const() {value = bool[2] [true, false]}
  %t: string[1] = Const() {value = string[1] ["a\nb"]}
  %big: f32[64] = Const() {value = f32[64] sha256:00112233445566778899aabbccddeeff}
  %y: f32[2], _ = If(%c) @ "node 1" If ai.onnx 13 region () -> (%p, %x) {
    %p: f32[2] = LeakyRelu(%x) {alpha = 0.25} @ "" LeakyRelu "my domain" 6
  } region () -> (%x, %x) {
  }
  %1 "not a word": ?[3] = Clip(%x, _, %n)
  _ = MaxPool(%1) {kernel_shape = [2], pads = [0, 1]}
  RandomNormal() {dtype = f16, scale = -Inf, seed = NaN, shape = []}
}
`

func TestTextIsStable(t *testing.T) {
	m, err := Parse(everything)
	require.NoError(t, err)
	require.Equal(t, everything, m.String())
	require.Equal(t, everything, Print(m.Clone()))
	require.Equal(t, []string{"in put", "not a word", "s", "o", "m", "c"}, m.Inputs)
	require.Equal(t, []string{"y", "out"}, m.Outputs)
	require.Equal(t, 10, m.Graph.NumOps())
	_, err = ConstOf(m.Graph.Ops[4].Results[0]).Load()
	require.ErrorContains(t, err, "sha256:0011")
}

func TestParseResolvesReferences(t *testing.T) {
	big := DataOf(tensor.Of(make([]float32, 64), 64))
	m := NewModule("m")
	op := m.NewConst("w", big)
	m.Graph.Ops, m.Graph.Results, m.Outputs = []*Op{op}, []*Value{op.Results[0]}, []string{"w"}
	require.NoError(t, Verify(m))
	got, err := ParseWith(Print(m), func(hash string) *Data {
		require.Equal(t, big.Hash(), hash)
		return big
	})
	require.NoError(t, err)
	x, err := ConstOf(got.Graph.Results[0]).Tensor()
	require.NoError(t, err)
	require.Len(t, x.Data, 256)
}

func TestRandomData(t *testing.T) {
	read := func(text string) []float32 {
		x, err := (&parser{src: text}).data().Tensor()
		require.NoError(t, err)
		return tensor.View[float32](x)
	}
	a := read("f32[100] random(1)")
	require.Equal(t, a, read("f32[100] random(1)"))
	require.NotEqual(t, a, read("f32[100] random(2)"))
	require.InDelta(t, -0.5, slices.Min(a), 0.1)
	require.InDelta(t, 0.5, slices.Max(a), 0.1)
	for _, text := range []string{"i32[2] random(1)", "f32[100000,100000] random(1)", "f32[2] random"} {
		require.Panics(t, func() { (&parser{src: text}).data() }, text)
	}
}

func TestDataText(t *testing.T) {
	for _, x := range []*tensor.Tensor{
		tensor.Of([]float32{math.MaxFloat32, -math.SmallestNonzeroFloat32, float32(math.Inf(1)), 1.0 / 3}, 2, 2),
		tensor.Of([]float64{math.Pi}), tensor.Of([]uint64{math.MaxUint64}, 1), tensor.Of([]int8{-128, 127}, 2),
		tensor.Of([]uint32{math.MaxUint32}, 1), tensor.Of([]int64{}, 0), tensor.OfStrings([]string{"\xff", `"`}, 2),
	} {
		p := &parser{src: dataText(DataOf(x))}
		d := p.data()
		got, err := d.Tensor()
		require.NoError(t, err)
		require.Equal(t, x.Data, got.Data, p.src)
		require.Equal(t, x.Strings, got.Strings)
		require.Equal(t, x.TypeString(), got.TypeString())
	}
}

func TestParseErrors(t *testing.T) {
	for src, want := range map[string]string{
		"modul":                               `line 1: want "module"`,
		"module \"a\"\ngraph () -> (%y) {\n}": "line 2: result %y is not defined",
		"module \"a\" graph () -> () {\n%y = Foo()\n}":                     `line 2: no op "Foo"`,
		"module \"a\" graph () -> () {\n%y = Neg(%y)\n}":                   "line 2: %y is not defined here",
		"module \"a\" graph (%x: f33[]) -> () {}":                          `want an element type, got "f33"`,
		"module \"a\" graph (%x: f32[2*]) -> () {}":                        "want a number or a name",
		"module \"a\" graph (%x, %x) -> () {}":                             "%x is defined twice",
		"module \"a\" graph (%x) -> () { %y = Neg(%x) {a = 1} }":           `Neg has no attribute "a"`,
		"module \"a\" graph () -> () { %y = Const() {value = u8[1] [256]}": "256 does not fit u8",
	} {
		_, err := Parse(src)
		require.ErrorContains(t, err, want, src)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(everything)
	for _, c := range inferCases {
		f.Add(source(c.params, c.ops))
	}
	f.Fuzz(func(t *testing.T, src string) {
		m, err := Parse(src)
		if err != nil {
			return
		}
		checkRoundTrip(t, m)
		require.Equal(t, Print(m), Print(m.Clone()))
		_ = Verify(m)
		_, _ = Infer(m)
		checkRoundTrip(t, m)
	})
}
