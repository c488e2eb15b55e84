package main

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/internal/conformance"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestGenerate: a seed gives one graph, which is valid, whose outputs the evaluator computes, and over a few
// seeds most operators occur.
func TestGenerate(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(60) {
		g := generate(seed)
		again := generate(seed)
		a, err := g.g.bytes()
		require.NoError(t, err)
		b, err := again.g.bytes()
		require.NoError(t, err)
		require.Equal(t, a, b, "seed %d", seed)
		require.NotEmpty(t, g.g.outputs)
		_, err = evaluate(&g.g, nil)
		require.NoError(t, err, "seed %d", seed)
		for _, n := range g.g.nodes {
			seen[n.GetOpType()] = true
		}
	}
	require.Greater(t, len(seen), 80)
}

// TestChunks: all seeds occur once, those of a chunk are run in the same ways, and over a few chunks in all.
func TestChunks(t *testing.T) {
	next, ways := uint64(100), map[way]bool{}
	for _, c := range chunks(100, 3*chunk) {
		for _, seed := range c {
			require.Equal(t, next, seed)
			require.Equal(t, waysOf(c[0]), waysOf(seed))
			next++
		}
		for _, w := range waysOf(c[0]) {
			ways[w] = true
		}
	}
	require.EqualValues(t, 100+3*chunk, next)
	require.Len(t, ways, 2*len(levels))
}

// TestTogether: of graphs that are compiled together, one that does not compile spoils none of the others.
func TestTogether(t *testing.T) {
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
	bad := product()
	bad.nodes = append(bad.nodes, newNode("NoSuchOp", []string{"y"}, []string{"z"}, nil))
	var ms []*member
	for _, g := range []*graph{product(), bad, product()} {
		m := &member{g: g}
		m.ref, _ = referOrComplain(product())
		ms = append(ms, m)
	}
	w := &checker{ctx: context.Background()}
	w.checkWays(waysOf(0), ms)
	require.Nil(t, ms[0].complaint)
	require.Equal(t, "-O=0 fails", ms[1].complaint.kind)
	require.Contains(t, ms[1].complaint.text, "NoSuchOp")
	require.Equal(t, []string{waysOf(0)[0].String(), waysOf(0)[1].String()}, ms[2].ran)
	ms[0].ref.out[0] = tensor.New(tensor.F32, 5, 7)
	w.checkWays(waysOf(0)[1:], ms[:1])
	require.Equal(t, "-O differs", ms[0].complaint.kind)
}

// product is the graph MatMul(a, b) -> Relu -> Add c, with symbols.
func product() *graph {
	r := &gen{Rand: generate(1).Rand}
	a, b, c := r.input(tensor.F32, 5, 40), r.input(tensor.F32, 40, 7), r.input(tensor.F32, 7)
	a.dims = []string{"N", ""}
	g := &graph{inputs: []*input{a, b, c}, outputs: []string{"y"}}
	g.nodes = append(g.nodes, newNode("MatMul", names(a, b), []string{"p"}, nil), newNode("Relu", []string{"p"}, []string{"q"}, nil),
		newNode("Add", []string{"q", c.name}, []string{"y"}, nil))
	return g
}

// TestCheck: rounding is explained, more is not.
func TestCheck(t *testing.T) {
	ref, err := refer(product())
	require.NoError(t, err)
	require.Empty(t, ref.check(ref.out))
	nudged := func(by float64) []*tensor.Tensor {
		c := tensor.New(tensor.F32, 5, 7)
		copy(c.Data, ref.out[0].Data)
		setFloat(c, 3, c.At(3)+by*math.Max(1, math.Abs(c.At(3))))
		return []*tensor.Tensor{c}
	}
	require.Empty(t, ref.check(nudged(1e-7)))
	require.Contains(t, ref.check(nudged(1e-3)), "1 elements differ, the first number 3")
	require.Contains(t, ref.check([]*tensor.Tensor{tensor.New(tensor.F32, 5, 8)}), "want f32[5,7]")
}

// TestShrink: what stays is what fails.
func TestShrink(t *testing.T) {
	g := product()
	small := shrink(g, func(g *graph) bool {
		return slices.ContainsFunc(g.nodes, func(n *nodeProto) bool { return n.GetOpType() == "Relu" })
	})
	require.Len(t, small.nodes, 1)
	require.Len(t, small.inputs, 1)
	require.Equal(t, []string{"q"}, small.outputs)
	_, err := evaluate(small, nil)
	require.NoError(t, err)
}

// TestSave: a saved graph is a case in ONNX's layout that passes.
func TestSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "1")
	require.NoError(t, save(dir, product(), "why"))
	cases, err := testcase.Find(dir)
	require.NoError(t, err)
	_, err = conformance.Evaluated(onnx.Options{})(context.Background(), cases[0], testcase.Default)
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(dir, "why.txt"))
	require.NoError(t, err)
	require.Contains(t, string(b), "MatMul")
}

// TestExplain: only differences with the peer are explained, never one between nnc's own ways.
func TestExplain(t *testing.T) {
	g := &graph{nodes: []*nodeProto{newNode("NonZero", []string{"x"}, []string{"y"}, nil)}}
	require.NotEmpty(t, explain(g, "peer differs: output 0 is i64[1,1], want i64[0,1]"))
	require.Empty(t, explain(g, "-O differs: output 0 is i64[1,1], want i64[0,1]"))
	topK := &graph{inputs: []*input{{name: "x", t: tensor.Of([]float32{1, 2}, 2)}}, nodes: []*nodeProto{newNode("TopK", []string{"x"}, []string{"y"}, nil)}}
	require.Empty(t, explain(topK, "peer differs: output 0"), "without NaN there is no excuse")
	topK.inputs[0].t = tensor.Of([]float32{1, float32(math.NaN())}, 2)
	require.NotEmpty(t, explain(topK, "peer differs: output 0"))
	require.Empty(t, explain(product(), "peer differs: output 0 is i64[1,1], want i64[0,1]"))
	sigmoid := &graph{nodes: []*nodeProto{newNode("Sigmoid", []string{"x"}, []string{"y"}, nil)}}
	require.NotEmpty(t, explain(sigmoid, "-O differs: output 0, f32[2]: 1 elements differ, the first number 0: got 0, want 7.8e-41 within 4.5e-44"))
	require.Empty(t, explain(sigmoid, "-O differs: output 0, f32[2]: 1 elements differ, the first number 0: got 0, want 7.8e-31 within 4.5e-34"))
}

// TestNoIteration: whether a loop has made nothing is found by running it; operators in subgraphs count as such of the graph.
func TestNoIteration(t *testing.T) {
	looping := func(count int64) *graph {
		r := &gen{Rand: generate(1).Rand}
		b := r.sub()
		i, more, v := b.param(tensor.I64), b.param(tensor.Bool), b.param(tensor.F32, 3)
		_, next := i, b.add("Neg", v, nil, v)
		for _, x := range []*input{more, next, next} {
			b.result(x)
		}
		x, n := r.konst(tensor.Of([]float32{1, 2, 3}, 3)), r.konst(tensor.Of([]int64{count}))
		g := &graph{inputs: []*input{x, n}, outputs: []string{"y", "s"}}
		g.nodes = append(g.nodes, newNode("Loop", names(n, nil, x), g.outputs, attrs{"body": b.g}))
		return g
	}
	const say = "peer differs: output 0 is f32[0], want f32[0,3]"
	require.NotEmpty(t, explain(looping(0), say))
	require.Empty(t, explain(looping(2), say))
	require.Len(t, all(looping(2).nodes), 2)
	require.Equal(t, []string{looping(2).inputs[1].name, "", looping(2).inputs[0].name}, reads(looping(2).nodes[0]))
}

// TestFuzz runs a few graphs; `make fuzz-graphs` runs many, and against ONNX Runtime.
func TestFuzz(t *testing.T) {
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
	failed, err := fuzz(context.Background(), config{n: 15, jobs: 2, seed: 100, out: t.TempDir()})
	require.NoError(t, err)
	require.Zero(t, failed)
}
