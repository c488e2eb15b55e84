package llvm

import (
	"fmt"
	"strings"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
)

// render writes kernels as an LLVM module. A kernel is two functions: the body, which takes its
// buffers as noalias parameters, and the entry, which reads the argument block and calls it. The body
// is inlined, which is how LLVM learns that the buffers do not overlap.
func render(t *target.Target, ks backend.Kernels) string {
	m := ir.NewModule()
	m.TargetTriple = t.Triple()
	r := &renderer{m: m, t: t, level: ks.Level, intrinsics: map[string]*ir.Func{}}
	for _, f := range ks.Funcs {
		r.kernel(f)
	}
	var b strings.Builder
	for _, f := range ks.Funcs {
		fmt.Fprintf(&b, "; %s: %s\n", f.Name, strings.ReplaceAll(f.Comment, "\n", " "))
	}
	return b.String() + m.String()
}

type renderer struct {
	m          *ir.Module
	t          *target.Target
	level      *target.Level
	intrinsics map[string]*ir.Func

	fn   *ir.Func
	cur  *ir.Block
	env  map[*loop.Value]value.Value
	bufs map[*loop.Buf]value.Value
}

func (r *renderer) attrs() []ir.FuncAttribute {
	a := []ir.FuncAttribute{enum.FuncAttrNoUnwind, enum.FuncAttrNoRedZone, ir.AttrString("no-builtins"), ir.AttrString("no-stack-arg-probe"),
		ir.AttrPair{Key: "warn-stack-size", Value: fmt.Sprint(abi.StackSize - 512)},
		ir.AttrPair{Key: "target-cpu", Value: r.level.CPU}}
	if len(r.level.Features) > 0 {
		a = append(a, ir.AttrPair{Key: "target-features", Value: strings.Join(r.level.Features, ",")})
	}
	w := fmt.Sprint(8 * r.level.VecBytes)
	return append(a, ir.AttrPair{Key: "min-legal-vector-width", Value: w}, ir.AttrPair{Key: "prefer-vector-width", Value: w})
}

// callingConv is the System V one, also where the system has another.
func (r *renderer) callingConv() enum.CallingConv {
	if r.t.OS == "windows" && r.t.Arch.Name == "amd64" {
		return enum.CallingConvX86_64SysV
	}
	return enum.CallingConvNone
}

func (r *renderer) kernel(f *loop.Func) {
	body := r.body(f)
	args, lo, hi := ir.NewParam("args", ptr), ir.NewParam("lo", types.I64), ir.NewParam("hi", types.I64)
	entry := r.m.NewFunc(backend.Symbol(f.Name, r.level.Name), types.Void, args, lo, hi)
	entry.FuncAttrs = r.attrs()
	entry.CallingConv = r.callingConv()
	blk := entry.NewBlock("entry")
	r.cur = blk
	word := func(arg int, t types.Type) value.Value {
		return r.add(&ir.InstLoad{ElemType: t, Src: r.gep(types.I64, args, ptr, constant(loop.Index, uint64(arg)))})
	}
	var actual []value.Value
	for _, b := range f.Bufs {
		if b.Arg >= 0 {
			actual = append(actual, word(b.Arg, ptr))
		}
	}
	for _, a := range f.IntArgs {
		actual = append(actual, word(a, types.I64))
	}
	blk.NewCall(body, append(actual, lo, hi)...)
	blk.NewRet(nil)
}

func (r *renderer) body(f *loop.Func) *ir.Func {
	r.env, r.bufs = map[*loop.Value]value.Value{}, map[*loop.Buf]value.Value{}
	var params []*ir.Param
	param := func(name string, t types.Type) *ir.Param {
		p := ir.NewParam(name, t)
		params = append(params, p)
		return p
	}
	for _, b := range f.Bufs {
		if b.Arg < 0 {
			continue
		}
		p := param(b.Name, ptr)
		p.Attrs = append(p.Attrs, enum.ParamAttrNoAlias)
		if !b.Write {
			p.Attrs = append(p.Attrs, enum.ParamAttrReadOnly)
		}
		r.bufs[b] = p
	}
	for i, v := range f.Ints {
		r.env[v] = param(fmt.Sprintf("n%d", i), types.I64)
	}
	r.env[f.Lo], r.env[f.Hi] = param("lo", types.I64), param("hi", types.I64)
	r.fn = r.m.NewFunc("body_"+f.Name, types.Void, params...)
	r.fn.Linkage = enum.LinkageInternal
	r.fn.FuncAttrs = append(r.attrs(), enum.FuncAttrAlwaysInline)
	r.cur = r.fn.NewBlock("")
	for _, b := range f.Bufs {
		if b.Arg < 0 {
			a := &ir.InstAlloca{ElemType: types.NewArray(uint64(b.N), elemType(b.Elem)), Typ: types.NewPointer(types.I8), Align: 64}
			r.cur.Insts = append(r.cur.Insts, a)
			r.bufs[b] = named{a, ptr}
		}
	}
	r.block(f.Body)
	r.cur.NewRet(nil)
	return r.fn
}

// named is an instruction whose type llir would print as a typed pointer.
type named struct {
	v value.Named
	t types.Type
}

func (n named) String() string   { return n.t.String() + " " + n.v.Ident() }
func (n named) Type() types.Type { return n.t }
func (n named) Ident() string    { return n.v.Ident() }

type inst interface {
	ir.Instruction
	value.Value
}

func (r *renderer) add(in inst) value.Value {
	r.cur.Insts = append(r.cur.Insts, in)
	return in
}

func (r *renderer) gep(elem types.Type, base value.Value, t types.Type, idx ...value.Value) value.Value {
	return r.add(&ir.InstGetElementPtr{ElemType: elem, Src: base, Indices: idx, Typ: t})
}

// call calls an intrinsic, declaring it first.
func (r *renderer) call(name string, ret types.Type, args ...value.Value) value.Value {
	f := r.intrinsics[name]
	if f == nil {
		params := make([]*ir.Param, len(args))
		for i, a := range args {
			params[i] = ir.NewParam("", a.Type())
		}
		f = r.m.NewFunc(name, ret, params...)
		r.intrinsics[name] = f
	}
	return r.add(ir.NewCall(f, args...))
}

func (r *renderer) block(b *loop.Block) {
	for _, in := range b.Instrs {
		switch in.Op {
		case loop.OpFor:
			r.forLoop(in)
		case loop.OpIf:
			r.cond(in)
		default:
			if v := r.instr(in); v != nil && len(in.Results) > 0 {
				r.env[in.Results[0]] = v
			}
		}
	}
}

func (r *renderer) vals(vs []*loop.Value) []value.Value {
	out := make([]value.Value, len(vs))
	for i, v := range vs {
		out[i] = r.env[v]
	}
	return out
}

// forLoop writes a loop that tests at its end, guarded by a test before it.
func (r *renderer) forLoop(in *loop.Instr) {
	args := r.vals(in.Args)
	lo, hi, init := args[0], args[1], args[2:]
	pre, body, exit := r.cur, r.fn.NewBlock(""), r.fn.NewBlock("")
	pre.NewCondBr(pre.NewICmp(enum.IPredSLT, lo, hi), body, exit)
	blk := in.Blocks[0]
	phis := make([]*ir.InstPhi, len(blk.Params))
	for i, p := range blk.Params {
		start := lo
		if i > 0 {
			start = init[i-1]
		}
		phis[i] = &ir.InstPhi{Typ: typeOf(p.Type), Incs: []*ir.Incoming{ir.NewIncoming(start, pre)}}
		body.Insts = append(body.Insts, phis[i])
		r.env[p] = phis[i]
	}
	r.cur = body
	r.block(blk)
	latch := r.cur
	next := latch.NewAdd(phis[0], word{types.I64, fmt.Sprint(in.Imm)})
	next.OverflowFlags = []enum.OverflowFlag{enum.OverflowFlagNSW}
	yield := r.vals(blk.Yield)
	phis[0].Incs = append(phis[0].Incs, ir.NewIncoming(next, latch))
	for i, y := range yield {
		phis[i+1].Incs = append(phis[i+1].Incs, ir.NewIncoming(y, latch))
	}
	latch.NewCondBr(latch.NewICmp(enum.IPredSLT, next, hi), body, exit)
	r.cur = exit
	for i, v := range in.Results {
		phi := &ir.InstPhi{Typ: typeOf(v.Type), Incs: []*ir.Incoming{ir.NewIncoming(init[i], pre), ir.NewIncoming(yield[i], latch)}}
		exit.Insts = append(exit.Insts, phi)
		r.env[v] = phi
	}
}

func (r *renderer) cond(in *loop.Instr) {
	then, els, join := r.fn.NewBlock(""), r.fn.NewBlock(""), r.fn.NewBlock("")
	r.cur.NewCondBr(r.env[in.Args[0]], then, els)
	var ends [2]*ir.Block
	var yields [2][]value.Value
	for i, start := range []*ir.Block{then, els} {
		r.cur = start
		r.block(in.Blocks[i])
		ends[i], yields[i] = r.cur, r.vals(in.Blocks[i].Yield)
		r.cur.NewBr(join)
	}
	r.cur = join
	for i, v := range in.Results {
		phi := &ir.InstPhi{Typ: typeOf(v.Type), Incs: []*ir.Incoming{ir.NewIncoming(yields[0][i], ends[0]), ir.NewIncoming(yields[1][i], ends[1])}}
		join.Insts = append(join.Insts, phi)
		r.env[v] = phi
	}
}
