package ir

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/tensor"
)

func TestEveryOpHasARule(t *testing.T) {
	for _, o := range Ops() {
		require.NotNil(t, o.Infer, "%s has no shape rule", o.Name)
		require.NotEmpty(t, o.Doc, "%s has no line of documentation", o.Name)
	}
}

// inferCases: parameters; ops (i1[...] stands for an i64 constant); the types of %y (and %z) in order.
var inferCases = []struct{ params, ops, want string }{
	// Elementwise.
	{"%a: f32[N,3], %b: f32[3]", "%y = Add(%a, %b)", "f32[N,3]"},
	{"%a: f32[N,1,4], %b: f32[5,1]", "%y = Mul(%a, %b)", "f32[N,5,4]"},
	{"%a: f32[N], %b: f32[4]", "%y = Less(%a, %b)", "bool[4]"},
	{"%a: f32[2], %b: f32[3]", "%y = Add(%a, %b)", "error: do not broadcast"},
	{"%a: f32[2], %b: i64[2]", "%y = Add(%a, %b)", "error: element type"},
	{"%a: f32[...], %b: f32[3]", "%y = Add(%a, %b)", "f32[...]"},
	{"%a: f32[N]", "%y = Cast(%a) {to = i32}", "i32[N]"},
	{"%c: bool[1,2], %a: f32[N,1], %b: f32[]", "%y = Where(%c, %a, %b)", "f32[N,2]"},
	{"%a: i32[2]", "%y = Exp(%a)", `error: operand "a" is i32[2], want f16, bf16, f32 or f64`},
	{"%a: bool[2]", "%y = Add(%a, %a)", "error: want numbers"},
	{"%a: f32[2]", "%y = BitwiseAnd(%a, %a)", "error: want integers"},
	{"%a: i32[2]", `%y = BitShift(%a, %a) {direction = "LEFT"}`, "error: want unsigned integers"},
	{"%a: u8[2]", `%y = BitShift(%a, %a) {direction = "UP"}`, "error: direction is \"UP\", want LEFT or RIGHT"},
	{"%a: i32[2]", "%y = Not(%a)", "error: want bool"},
	{"%a: f32[2]", "%y = Mod(%a, %a)", "error: fmod is 0"},
	{"%a: f64[2], %b: u16[]", "%y = Pow(%a, %b)", "f64[2]"},
	{"%a: f64[2], %b: bool[]", "%y = Pow(%a, %b)", `error: exponent "b" is bool[], want numbers`},
	{"%a: f32[2,3], %b: f32[3]", "%y = PRelu(%a, %b)", "f32[2,3]"},
	{"%a: f32[2,1], %b: f32[3]", "%y = PRelu(%a, %b)", `error: slope "b" is f32[3], which does not broadcast to f32[2,1]`},
	{"%a: f32[3], %b: f32[3]", "%y = Clip(%a, %b)", `error: bound "b" is f32[3], want a scalar`},
	{"%a: f32[3], %b: i32[]", "%y = Clip(%a, %b)", "error: element type"},
	{"%c: i32[3], %a: f32[3]", "%y = Where(%c, %a, %a)", `error: condition "c" is i32[3], want bool`},
	// Shape arithmetic.
	{"%a: f32[N,C,H,W]", "%s = Shape(%a)\n %i = Gather(%s, i1[0])\n %t = Concat(%i, i1[-1]) {axis = 0}\n %y = Reshape(%a, %t)", "f32[N,C*H*W]"},
	{"%a: f32[N,12]", "%y = Reshape(%a, i1[0, 3, -1])", "f32[N,3,4]"},
	{"%a: f32[N,C,H,W]", "%y = Reshape(%a, i1[0, 0, -1])", "f32[N,C,H*W]"},
	{"%a: f32[2,3]", "%y = Reshape(%a, i1[4, 2])", "error: elements"},
	{"%a: f32[N,6]", "%y = Reshape(%a, i1[-1, 4])", "f32[div(6*N,4),4]"},
	{"%a: f32[N,6], %s: i64[3]", "%y = Reshape(%a, %s)", "f32[u1,u2,u3]"},
	{"%a: f32[N,6], %s: i64[L]", "%y = Reshape(%a, %s)", "f32[...]"},
	{"%a: f32[N,L]", "%s = Shape(%a) {start = 1}\n %d = Div(%s, i1[2])\n %m = Mul(%d, i1[3])\n %e = Sub(%m, i1[1])\n %y = Expand(%a, %e)", "f32[N,3*div(L,2)-1]"},
	{"%a: f32[N,3]", "%s = Shape(%a)\n %e = Equal(%s, i1[-1, -1])\n %o = ConstantOfShape(i1[2]) {value = i64[1] [1]}\n %t = Where(%e, %o, %s)\n %x = Cast(%t) {to = i32}\n %k = Cast(%x) {to = i64}\n %y = ConstantOfShape(%k)", "f32[N,3]"},
	{"%a: f32[N,3]", "%n = Size(%a)\n %u = Unsqueeze(%n, i1[0])\n %q = Squeeze(%u)\n %y = Range(i0[0], %q, i0[2])", "i64[div(3*N+1,2)]"},
	{"", "%y = Range(i0[1], i0[8], i0[3])\n%z = ConstantOfShape(%y)", "i64[3] f32[1,4,7]"},
	{"", "%y = Range(i0[5], i0[0], i0[-2])", "i64[3]"},
	{"%a: f32[N,4]", "%y = Flatten(%a) {axis = 0}", "f32[1,4*N]"},
	{"%a: f32[1,N,1]", "%y = Squeeze(%a, i1[0, -1])", "f32[N]"},
	{"%a: f32[N,1]", "%y = Squeeze(%a)", "f32[...]"},
	{"%a: f32[N]", "%y = Unsqueeze(%a, i1[0, -1])", "f32[1,N,1]"},
	{"%a: f32[A,B,C]", "%y = Transpose(%a)", "f32[C,B,A]"},
	{"%a: f32[A,B,C]", "%y = Transpose(%a) {perm = [0, 2]}", "error: want 3"},
	{"%a: f32[N,2]", "%y = Tile(%a, i1[2, 3])", "f32[2*N,6]"},
	{"%a: f32[A,3], %b: f32[B,3]", "%y = Concat(%a, %b) {axis = 0}", "f32[A+B,3]"},
	{"%a: f32[A,3], %b: f32[2,4]", "%y = Concat(%a, %b) {axis = 0}", "error: not joined"},
	{"%a: f32[N,7]", "%y, %z = Split(%a) {axis = 1, num_outputs = 2}", "f32[N,4] f32[N,3]"},
	{"%a: f32[2*N]", "%y, %z = Split(%a) {num_outputs = 2}", "f32[N] f32[N]"},
	{"%a: f32[N,7]", "%y, %z = Split(%a, i1[3, 4]) {axis = 1}", "f32[N,3] f32[N,4]"},
	{"%a: f32[N,7]", "%y, %z = Split(%a, i1[3, 5]) {axis = 1}", "error: sum of the split sizes"},
	{"%a: f32[N,3]", "%y = Pad(%a, i1[1, 0, 2, -1])", "f32[N+3,2]"},
	{"%a: f32[N,3]", "%y = Pad(%a, i1[1, 1], _, i1[1])", "f32[N,5]"},
	// Slice.
	{"%a: f32[N,10]", "%y = Slice(%a, i1[1], i1[9223372036854775807], i1[1], i1[2])", "f32[N,5]"},
	{"%a: f32[N,10]", "%y = Slice(%a, i1[-1], i1[-100], i1[1], i1[-3])", "f32[N,4]"},
	{"%a: f32[N]", "%y = Slice(%a, i1[0], i1[9223372036854775807])", "f32[N]"},
	{"%a: f32[N+1]", "%y = Slice(%a, i1[0], i1[-1])", "f32[N]"},
	{"%a: f32[N]", "%y = Slice(%a, i1[0], i1[-1])", "f32[max(0,N-1)]"},
	{"%a: f32[N+2]", "%y = Slice(%a, i1[-1], i1[2147483647])", "f32[1]"},
	{"%a: f32[N]", "%y = Slice(%a, i1[-1], i1[2147483647])", "f32[min(1,N)]"},
	{"%a: f32[N]", "%y = Slice(%a, i1[2147483647], i1[-2147483648], i1[0], i1[-1])", "f32[N]"},
	{"%a: f32[N], %s: i64[1]", "%y = Slice(%a, %s, i1[5])", "f32[u1]"},
	{"%a: f32[100], %b: f32[L]", "%s = Shape(%b)\n %y = Slice(%a, i1[0], %s)", "f32[min(100,L)]"},
	// Indexing.
	{"%a: f32[N,3], %i: i64[4,5]", "%y = Gather(%a, %i) {axis = 1}", "f32[N,4,5]"},
	{"%a: f32[N,3,7], %i: i64[4,2]", "%y = GatherND(%a, %i)", "f32[4,7]"},
	{"%i: i64[N], %v: f32[2]", "%y = OneHot(%i, i0[9], %v)", "f32[N,9]"},
	{"%a: f32[N,9]", "%y, %z = TopK(%a, i1[4])", "f32[N,4] i64[N,4]"},
	{"%a: f32[N,9]", "%y, %z = TopK(%a, i1[10])", "error: K is"},
	{"%a: f32[N,9]", "%y = NonZero(%a)", "i64[2,u1]"},
	// Reductions.
	{"%a: f32[N,3,4]", "%y = ReduceMean(%a, i1[-1])", "f32[N,3,1]"},
	{"%a: f32[N,3,4]", "%y = ReduceMean(%a) {keepdims = 0}", "f32[]"},
	{"%a: f32[N,3,4]", "%y = ArgMax(%a) {axis = 1, keepdims = 0}", "i64[N,4]"},
	{"%a: f32[N,3]", "%s = Shape(%a)\n%p = ReduceProd(%s, i1[0]) \n%y = Expand(%a, i1[1, 1, 1])\n%z = ConstantOfShape(%p)", "f32[1,N,3] f32[3*N]"},
	// Networks.
	{"%x: f32[N,3,H,224], %w: f32[8,3,7,7]", "%y = Conv(%x, %w) {strides = [2, 2], pads = [3, 3, 3, 3]}", "f32[N,8,div(H+1,2),112]"},
	{"%x: f32[N,3,9,9], %w: f32[8,3,3,3]", "%y = Conv(%x, %w) {dilations = [2, 2]}", "f32[N,8,5,5]"},
	{"%x: f32[N,4,L], %w: f32[8,1,3], %b: f32[8]", "%y = Conv(%x, %w, %b) {group = 4, auto_pad = \"SAME_UPPER\", strides = [2]}", "f32[N,8,div(L+1,2)]"},
	{"%x: f32[N,4,9,9], %w: f32[8,3,3,3]", "%y = Conv(%x, %w)", "error: number of input channels"},
	{"%x: f32[N,4,2,2], %w: f32[8,4,3,3]", "%y = Conv(%x, %w)", "error: kernel spans 3"},
	{"%x: f32[N,4,H,W], %w: f32[4,2,2,2]", "%y = ConvTranspose(%x, %w) {strides = [2, 2], group = 2}", "f32[N,4,2*H,2*W]"},
	{"%x: f32[N,4,H,7]", "%y, %z = MaxPool(%x) {kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1}", "f32[N,4,div(H+1,2),4] i64[N,4,div(H+1,2),4]"},
	// The last of three windows would begin in the padding on the right.
	{"%x: f32[1,1,4]", "%y = AveragePool(%x) {kernel_shape = [1], strides = [2], pads = [0, 1], ceil_mode = 1}", "f32[1,1,2]"},
	{"%x: f32[N,4,H,W]", "%y = GlobalAveragePool(%x)", "f32[N,4,1,1]"},
	{"%a: f32[B,1,M,K], %b: f32[H,K,N]", "%y = MatMul(%a, %b)", "f32[B,H,M,N]"},
	{"%a: f32[K], %b: f32[B,K,N]", "%y = MatMul(%a, %b)", "f32[B,N]"},
	{"%a: f32[2,3], %b: f32[4,5]", "%y = MatMul(%a, %b)", "error: inner dimension"},
	{"%a: f32[K,N], %b: f32[7,K], %c: f32[7]", "%y = Gemm(%a, %b, %c) {transA = 1, transB = 1}", "f32[N,7]"},
	{"%a: f32[B,I,J], %b: f32[B,J,K]", "%y = Einsum(%a, %b) {equation = \"bij, bjk -> bik\"}", "f32[B,I,K]"},
	{"%a: f32[P,Q,I,I]", "%y = Einsum(%a) {equation = \"...ii->...i\"}", "f32[P,Q,I]"},
	{"%x: f32[N,3,H,5]", "%k = Const() {value = f32[4] [1, 1, 2, 0.5]}\n%y = Resize(%x, _, %k)", "f32[N,3,2*H,2]"},
	{"%x: f32[N,3,H,5]", "%y = Resize(%x, _, _, i1[8, 9]) {axes = [2, 3]}", "f32[N,3,8,9]"},
	{"%x: f32[T,B,4], %w: f32[2,20,4], %r: f32[2,20,5]", "%y, %z = LSTM(%x, %w, %r) {direction = \"bidirectional\"}", "f32[T,2,B,5] f32[2,B,5]"},
	{"%x: f32[N,7,8]", "%s = Const() {value = f32[8] [1, 1, 1, 1, 1, 1, 1, 1]}\n%y, %z = LayerNormalization(%x, %s)", "f32[N,7,8] f32[N,7,1]"},
	{"%q: f32[B,L,8], %k: f32[B,L,4], %p: f32[B,2,P,2]", "%y, %z = Attention(%q, %k, %k, _, %p, %p) {q_num_heads = 4, kv_num_heads = 2}", "f32[B,L,8] f32[B,2,L+P,2]"},
	// Quantised, own, ML.
	{"%x: f32[N,4], %s: f32[]", "%y = QuantizeLinear(%x, %s) {output_dtype = i8}\n%z = DequantizeLinear(%y, %s)", "i8[N,4] f32[N,4]"},
	{"%a: u8[N,4], %b: i8[4,5]", "%y = MatMulInteger(%a, %b)", "i32[N,5]"},
	{"%x: f32[N,20,H,W]", "%y = Block(%x)\n%z = Unblock(%y) {channels = 20}", "f32[N,2,H,W,16] f32[N,20,H,W]"},
	{"%x: f32[N,2,H,8,16], %w: f32[33,20,3,3]", "%y = BlockedConv(%x, %w) {channels = 20}", "f32[N,3,H-2,6,16]"},
	{"%x: f32[N,4]", "%y, %z = ml.TreeEnsembleClassifier(%x) {classlabels_strings = [\"a\", \"b\"]}", "string[N] f32[N,2]"},
	{"%x: f32[N,4]", "%y = ml.TreeEnsembleRegressor(%x) {n_targets = 3}", "f32[N,3]"},
	// Sequences.
	{"%a: f32[N,3], %b: f32[M,3]", "%s = SequenceConstruct(%a, %b)\n%y = SequenceAt(%s, i0[0])\n%z = ConcatFromSequence(%s) {axis = 0}", "f32[u1,3] f32[u2,3]"},
	// Control flow.
	{"%c: bool[], %a: f32[N,3]", `%y, %z = If(%c) region () -> (%p, %a) { %p = Concat(%a, %a) {axis = 1} } region () -> (%q, %a) { %q = Neg(%a) }`, "f32[N,u1] f32[N,3]"},
	{"%a: f32[N,3]", `%s = Shape(%a) {start = 1} %e = Equal(%s, i1[1]) %y = If(%e) region () -> (%p) { %p: f32[N] = Squeeze(%a, i1[1]) } region () -> (%a) { }`, "f32[N,3]"},
	{"%m: i64[], %c: bool[], %a: f32[1,3]", `%y, %z = Loop(%m, %c, %a) region (%i, %k, %v) -> (%k, %w, %v) { %w = Concat(%v, %a) {axis = 0} }`, "f32[u1,3] f32[u2,u3,3]"},
	{"%a: f32[3]", `%y, %z = Loop(i0[4], _, %a) region (%i, %k, %v) -> (%k, %w, %v) { %w = Add(%v, %a) }`, "f32[3] f32[4,3]"},
	{"%s: f32[2], %a: f32[T,B,2]", `%y, %z = Scan(%s, %a) {num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1]} region (%p, %q) -> (%p, %q) { }`, "f32[2] f32[T,B,2]"},
	{"%a: f32[N,3]", `%y = Fused(%a) region (%p) -> (%q) { %q = Relu(%p) }`, "f32[N,3]"},
}

// source makes a module of a case: integer constants are hoisted before the ops.
func source(params, ops string) string {
	var consts strings.Builder
	for n := 0; ; n++ {
		i := strings.Index(ops, "i1[")
		if j := strings.Index(ops, "i0["); j >= 0 && (i < 0 || j < i) {
			i = j
		}
		if i < 0 {
			break
		}
		end := i + strings.IndexByte(ops[i:], ']')
		list := ops[i+3 : end]
		shape := "[]"
		if ops[i+1] == '1' {
			shape = fmt.Sprintf("[%d]", 1+strings.Count(list, ","))
		}
		fmt.Fprintf(&consts, "%%const%d = Const() {value = i64%s [%s]}\n", n, shape, list)
		ops = ops[:i] + fmt.Sprintf("%%const%d", n) + ops[end+1:]
	}
	results := "%y"
	if strings.Contains(ops, "%z") {
		results += ", %z"
	}
	return fmt.Sprintf("module \"t\" graph (%s) -> (%s) {\n%s%s\n}\n", params, results, consts.String(), ops)
}

var freshSym = regexp.MustCompile(`\bu\d+\b`)

// renumber counts the symbols that rules made from u1 on.
func renumber(s string) string {
	seen := map[string]string{}
	return freshSym.ReplaceAllStringFunc(s, func(u string) string {
		if seen[u] == "" {
			seen[u] = fmt.Sprintf("u%d", len(seen)+1)
		}
		return seen[u]
	})
}

func TestInfer(t *testing.T) {
	for _, c := range inferCases {
		t.Run(strings.ReplaceAll(c.ops, "\n", ";"), func(t *testing.T) {
			m, err := Parse(source(c.params, c.ops))
			require.NoError(t, err)
			_, err = Infer(m)
			if why, ok := strings.CutPrefix(c.want, "error: "); ok {
				require.ErrorContains(t, err, why)
				return
			}
			require.NoError(t, err)
			var got []string
			for _, r := range m.Graph.Results {
				got = append(got, r.Type.String())
			}
			require.Equal(t, c.want, renumber(strings.Join(got, " ")))
			require.NoError(t, Verify(m))
			checkRoundTrip(t, m)
		})
	}
}

// TestInferNeverPanics gives every rule random operands and attributes: it may refuse, but not panic.
func TestInferNeverPanics(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, info := range Ops() {
		for range 400 {
			m := NewModule("t")
			op := randomOp(rng, m, info)
			func() {
				defer func() {
					if r := recover(); r != nil {
						t.Fatalf("%s panics: %v\n%v\noperands %v", info.Name, r, op, typesOf(op.Operands))
					}
				}()
				c := NewInferCtx(m)
				for i, v := range op.Operands {
					if v != nil && rng.IntN(4) == 0 && v.Type.DType == tensor.I64 && len(v.Type.Shape) <= 1 {
						c.SetElems(op.Operands[i], randomDims(rng, rng.IntN(4)))
					}
				}
				_ = c.InferOp(op)
			}()
		}
	}
}

func typesOf(vs []*Value) (s []string) {
	for _, v := range vs {
		if v == nil {
			s = append(s, "_")
		} else {
			s = append(s, v.Type.String())
		}
	}
	return s
}

func randomDims(rng *rand.Rand, n int) []Dim {
	s := make([]Dim, n)
	for i := range s {
		s[i] = []Dim{Const(1), Const(2), Const(3), Const(0), Const(-1), Const(1 << 62), Const(-1 << 63), Sym("N"), Sym("M").AddInt(-1), Sym("u7"), Const(rng.Int64())}[rng.IntN(11)]
	}
	return s
}

func randomType(rng *rand.Rand) Type {
	d := []tensor.DType{tensor.F32, tensor.F32, tensor.I64, tensor.I64, tensor.Bool, tensor.String, tensor.Invalid, tensor.I4}[rng.IntN(8)]
	switch rng.IntN(10) {
	case 0:
		return Type{DType: d}
	case 1:
		e := randomType(rng)
		return Type{Kind: []Kind{KindSeq, KindOptional}[rng.IntN(2)], Elem: &e}
	}
	return TensorType(d, randomDims(rng, rng.IntN(6))...)
}

func randomOp(rng *rand.Rand, m *Module, info *OpInfo) *Op {
	value := func() *Value {
		switch rng.IntN(6) {
		case 0:
			return m.NewConst("", &Data{DType: tensor.I64, Shape: []int64{2}, Load: func() ([]byte, error) {
				return tensor.AsBytes([]int64{rng.Int64() - 1<<62, int64(rng.IntN(5) - 2)}), nil
			}}).Results[0]
		case 1:
			return m.NewConst("", DataOf(tensor.Of([]float32{rng.Float32(), -1e30, 1e30}, 3))).Results[0]
		case 2:
			return m.NewConst("", &Data{DType: tensor.F32, Shape: []int64{-3}, Load: func() ([]byte, error) { return nil, nil }}).Results[0]
		}
		return m.NewValue("", randomType(rng))
	}
	low, high := operandRange(info.Operands)
	if high < 0 {
		high = low + 4
	}
	op := &Op{Info: info, Attrs: Attrs{}}
	for i := range high {
		v := value()
		if i >= low && rng.IntN(3) == 0 && !strings.HasSuffix(info.Operands[len(info.Operands)-1], "*") {
			v = nil
		}
		op.Operands = append(op.Operands, v)
	}
	for i := range max(len(info.Results), 2) {
		if _, n := operandRange(info.Results); n < 0 || i < n {
			op.Results = append(op.Results, &Value{Def: op, Index: i})
		}
	}
	for _, k := range info.AttrNames() {
		if rng.IntN(2) == 0 {
			op.Attrs[k] = randomAttr(rng, info.Attrs[k])
		}
	}
	for range info.Regions {
		r := &Region{}
		for range len(op.Operands) + rng.IntN(2) {
			r.AddParam(m.NewValue("", Type{}))
		}
		for range 3 {
			v := value()
			if len(r.Params) > 0 && rng.IntN(2) == 0 {
				v = r.Params[rng.IntN(len(r.Params))]
			}
			r.Results = append(r.Results, v)
		}
		op.Regions = append(op.Regions, r)
	}
	return op
}

func randomAttr(rng *rand.Rand, k AttrKind) any {
	ints := []int64{0, 1, 2, -1, 3, 1 << 31, -1 << 63, 1<<63 - 1}
	switch k {
	case AttrInt:
		return ints[rng.IntN(len(ints))]
	case AttrFloat:
		return rng.NormFloat64()
	case AttrString:
		return []string{"", "SAME_UPPER", "VALID", "ij,jk->ik", "...i->i", "bidirectional", "tf_crop_and_resize", "not_larger", "none"}[rng.IntN(9)]
	case AttrInts:
		v := make([]int64, rng.IntN(5))
		for i := range v {
			v[i] = ints[rng.IntN(len(ints))]
		}
		return v
	case AttrFloats:
		return []float64{1}
	case AttrStrs:
		return []string{"a", "b"}
	case AttrDType:
		return tensor.F64
	}
	return &Data{DType: tensor.I64, Shape: []int64{1}, Load: func() ([]byte, error) { return nil, nil }}
}

// TestDimExtremes: constants are compared, not subtracted.
func TestDimExtremes(t *testing.T) {
	a, b := Const(-2), Const(math.MaxInt64)
	require.Equal(t, a, a.Min(b))
	require.Equal(t, b, a.Max(b))
	require.Equal(t, Const(math.MinInt64), Const(math.MinInt64).Min(b))
}
