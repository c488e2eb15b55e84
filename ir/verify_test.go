package ir

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/tensor"
)

func TestVerify(t *testing.T) {
	const src = `module "m"
default "x" = f32[1] [1]
graph (%x: f32[1], %c: bool[]) -> (%z) {
  %y: f32[1] = Add(%x, %x)
  %z: f32[1] = If(%c) region () -> (%n) {
    %n: f32[1] = Neg(%y)
  } region () -> (%y) {
  }
  %k: f32[1] = Const() {value = f32[1] [2]}
}`
	parse := func() *Module {
		m, err := Parse(src)
		require.NoError(t, err)
		return m
	}
	require.NoError(t, Verify(parse()))
	for name, c := range map[string]struct {
		spoil func(m *Module)
		want  string
	}{
		"order":        {func(m *Module) { o := m.Graph.Ops; o[0], o[1] = o[1], o[0] }, "nothing defined it"},
		"out of sight": {func(m *Module) { m.Graph.Results[0] = m.Graph.Ops[1].Regions[0].Results[0] }, "result 0 is missing or not defined"},
		"twice":        {func(m *Module) { m.Graph.Ops = append(m.Graph.Ops, m.Graph.Ops[0]) }, "occurs twice"},
		"def":          {func(m *Module) { m.Graph.Ops[0].Results[0].Def = nil }, "says that it is"},
		"index":        {func(m *Module) { m.Graph.Params[1].Index = 0 }, "says that it is"},
		"operands":     {func(m *Module) { m.Graph.Ops[0].Operands[1] = nil }, `operand "B" is missing`},
		"results":      {func(m *Module) { m.Graph.Ops[0].Results = append(m.Graph.Ops[0].Results, nil) }, "2 results, want at most 1"},
		"attribute":    {func(m *Module) { m.Graph.Ops[0].Attrs = Attrs{"axis": int64(1)} }, `attribute "axis"`},
		"kind":         {func(m *Module) { m.Graph.Ops[2].Attrs["value"] = 2 }, "is a int, want data"},
		"data":         {func(m *Module) { m.Graph.Ops[2].Results[0].Type = TensorType(tensor.I8) }, "but the data is f32[1]"},
		"regions":      {func(m *Module) { o := m.Graph.Ops[1]; o.Regions = o.Regions[:1] }, "1 regions, want 2"},
		"parameters":   {func(m *Module) { m.Graph.Ops[1].Regions[0].AddParam(m.NewValue("p", TensorType(tensor.F32))) }, "has 1 parameters"},
		"type":         {func(m *Module) { m.Graph.Ops[0].Results[0].Type = Type{} }, "has no type"},
		"negative":     {func(m *Module) { m.Graph.Params[0].Type = TensorType(tensor.F32, Const(-1)) }, "is negative"},
		"names":        {func(m *Module) { m.Inputs[1] = "x" }, "want a distinct one"},
		"name":         {func(m *Module) { m.Outputs = nil }, "0 output names, want 1"},
		"default":      {func(m *Module) { m.Defaults["q"] = m.Defaults["x"] }, "which is no input"},
	} {
		t.Run(name, func(t *testing.T) {
			m := parse()
			c.spoil(m)
			require.ErrorContains(t, Verify(m), c.want)
			require.NoError(t, Verify(parse()))
		})
	}
}

func TestVerifyReportsAtMostTwenty(t *testing.T) {
	m := NewModule("m")
	for range 30 {
		m.Graph.AddParam(m.NewValue("", Type{}))
	}
	lines := strings.Split(Verify(m).Error(), "\n")
	require.Len(t, lines, maxProblems+1)
	require.Contains(t, lines[maxProblems], "more")
}

func TestCloneIsDeep(t *testing.T) {
	m, err := Parse(everything)
	require.NoError(t, err)
	before := Print(m)
	c := m.Clone()
	require.Equal(t, Verify(m) == nil, Verify(c) == nil)
	c.Graph.Ops[5].Regions[0].Ops[0].Attrs["alpha"] = 1.0
	c.Graph.Params[0].Type.Shape[0] = Const(7)
	c.Graph.Ops = c.Graph.Ops[:1]
	c.Inputs[0] = "other"
	require.Equal(t, before, Print(m))
}
