package lower

import (
	"errors"
	"sync"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

// rule lowers an op to steps, or declines.
type rule func(c *Ctx, op *ir.Op) error

// anchorRule lowers an op that can head a Fused group: op is the op or the group, out its result.
type anchorRule func(c *Ctx, op, anchor *ir.Op, out *ir.Value) error

// anchors is the table of ops with an epilogue.
var anchors = map[string]anchorRule{
	"MatMul":                   lowerMatMul,
	"Gemm":                     lowerGemm,
	"Conv":                     lowerConv,
	"ConvTranspose":            lowerConvTranspose,
	"BlockedConv":              lowerBlockedConv,
	"BlockedMaxPool":           lowerBlockedPool,
	"BlockedAveragePool":       lowerBlockedPool,
	"BlockedGlobalAveragePool": lowerBlockedGlobalAveragePool,
}

// allRules is the table of compiled ops.
var allRules = sync.OnceValue(buildRules)

// families are the tables of the op families, each in the file of its name.
func families() []map[string]rule {
	return []map[string]rule{
		moveRules(), reduceRules(), indexRules(), selectRules(), randomRules(), quantRules(), storageRules(), treeRules(), mlRules(),
		normRules(), windowRules(), recurrentRules(),
		attentionRules(),
		sampleRules(), controlRules(), signalRules(),
		{"Fused": lowerFused, "Block": lowerBlock, "Unblock": lowerUnblock, "BlockedSelect": lowerBlockedSelect, "BlockedPick": lowerBlockedPick, "Require": lowerRequire},
	}
}

// buildRules fills the table; a function because the rules refer to it.
func buildRules() map[string]rule {
	m := map[string]rule{}
	for _, f := range families() {
		for name, r := range f {
			m[name] = r
		}
	}
	for name, a := range anchors {
		m[name] = func(c *Ctx, op *ir.Op) error { return a(c, op, op, op.Results[0]) }
	}
	for name := range elementwise {
		if m[name] == nil {
			m[name] = lowerElementwise
		}
	}
	return m
}

// Compiled reports whether ops of this name have a rule.
func Compiled(name string) bool { return allRules()[name] != nil || name == "Const" }

// lowerFused compiles a group with or without an anchor; a group that cannot be one kernel is lowered
// op by op.
func lowerFused(c *Ctx, op *ir.Op) error {
	r := op.Regions[0]
	for i, p := range r.Params {
		c.alias[p] = op.Operands[i]
	}
	mark := c.mark()
	err := lowerGroup(c, op)
	if !errors.Is(err, errDecline) {
		return err
	}
	c.reset(mark)
	for i, v := range r.Results {
		if v.Def != nil && !isView(v.Def) && ir.ConstOf(v) == nil {
			st, err := c.define(op.Results[i])
			if err != nil {
				return op.Errorf("%w", err)
			}
			c.storage[v] = st
		}
	}
	if err := c.region(r); err != nil {
		return err
	}
	for i, v := range r.Results {
		if v.Def == nil || isView(v.Def) || ir.ConstOf(v) != nil {
			if err := c.copy(op, v, op.Results[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func lowerGroup(c *Ctx, op *ir.Op) error {
	for _, o := range op.Regions[0].Ops {
		if a := anchors[o.Info.Name]; a != nil {
			return a(c, op, o, op.Results[0])
		}
	}
	return lowerElementwise(c, op)
}

// CanFuse reports whether op can be a member of a Fused group: an elementwise op for which a kernel can
// be written at these types. It tries.
func CanFuse(op *ir.Op) bool {
	f := elementwise[op.Info.Name]
	if f == nil || len(op.Results) != 1 {
		return false
	}
	b := loop.NewFunc("probe", target.Archs[0].Levels[0])
	k := &K{Builder: b, C: &Ctx{alias: map[*ir.Value]*ir.Value{}}}
	var x []*loop.Value
	for _, v := range append(append([]*ir.Value{}, op.Operands...), op.Results[0]) {
		if v == nil {
			x = append(x, nil)
			continue
		}
		if v.Type.Kind != ir.KindTensor || !v.Type.Ranked || !compiled(v.Type.DType) {
			return false
		}
		t := loop.Scalar(computeType(v.Type.DType))
		x = append(x, k.Bits(t, 0))
	}
	_, err := f(k, op, x[:len(x)-1])
	return err == nil && k.err == nil
}
