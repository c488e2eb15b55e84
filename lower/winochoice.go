package lower

import (
	"fmt"
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Winograd's convolutions are chosen for a module at once: each costs memory for weights, of which there is a
// budget, spent where a byte saves the most time.

// Weights may take as much memory again as all constants of the model, within these bounds.
const minGrowth, maxGrowth = 4 << 20, 64 << 20

// What a core does in a ns: operations, weights from memory that it shares, transformed pixels from and to cache.
const (
	directFlops = 112
	winoFlops   = 105
	weightBytes = 16
	pixelBytes  = 25
)

// winoOption is a form of a convolution: the time that it saves and the memory that it takes.
type winoOption struct {
	op            *ir.Op
	form          *cookToom
	saved, growth float64
}

// chooseWinograd picks the convolutions to do so.
func (c *Ctx) chooseWinograd() {
	c.winograd = map[*ir.Op]*cookToom{}
	var options []winoOption
	seen, total := map[*ir.Data]bool{}, int64(0)
	c.M.Graph.Walk(func(op *ir.Op) {
		if op.Info.Name == "Fused" {
			for i, p := range op.Regions[0].Params {
				c.alias[p] = op.Operands[i]
			}
		}
		for _, v := range op.Operands {
			if d := c.constOf(v); d != nil && !seen[d] {
				seen[d] = true
				total += d.Len() * int64(d.DType.Bits()) / 8
			}
		}
		if v := c.winogradConv(op); v != nil {
			for _, f := range winoForms {
				if saved := v.directNs() - v.newWinograd(f).ns(); saved > 0.1*v.directNs() {
					options = append(options, winoOption{op, f, saved, float64(4 * (int64(f.n*f.n) - 9) * v.c * v.oc)})
				}
			}
		}
	})
	c.spend(options, float64(min(max(total, minGrowth), maxGrowth)))
}

// spend takes options while the budget lasts, those first that save the most time per byte beyond what was taken for the
// same op before.
func (c *Ctx) spend(options []winoOption, budget float64) {
	taken := map[*ir.Op]winoOption{}
	for {
		var best winoOption
		var bestGrowth, bestRate float64
		for _, o := range options {
			saved, growth := o.saved-taken[o.op].saved, o.growth-taken[o.op].growth
			if saved > 0 && growth <= budget && (best.op == nil || saved > bestRate*growth) {
				best, bestGrowth, bestRate = o, growth, saved/growth
			}
		}
		if best.op == nil {
			return
		}
		budget -= bestGrowth
		taken[best.op], c.winograd[best.op] = best, best.form
	}
}

// winogradForm is how the convolution is done, nil for directly. Measuring may prefer what takes no more memory.
func (v *conv) winogradForm(c *Ctx, op *ir.Op) *cookToom {
	chosen := c.winograd[op]
	if chosen == nil {
		return nil
	}
	forms, names := []*cookToom{chosen, nil}, []string{chosen.winograd(), "direct"}
	for _, f := range winoForms {
		if f.n < chosen.n {
			forms, names = append(forms, f), append(names, f.winograd())
		}
	}
	return forms[c.choose(convAlgorithm, fmt.Sprint(v.sizes(), v), names...)]
}

// winogradConv is a convolution that can be done so, else nil.
func (c *Ctx) winogradConv(op *ir.Op) *conv {
	if c.Opts.Strict || op.Info.Name != "BlockedConv" || c.constOf(op.Operands[1]) == nil || op.Operand(2) != nil && c.constOf(op.Operand(2)) == nil {
		return nil
	}
	v, err := newConv(op)
	if err != nil || v.x.Type.DType != tensor.F32 || v.plain || v.group != 1 || v.kh != 3 || v.kw != 3 || v.sh != 1 || v.sw != 1 || v.dh != 1 || v.dw != 1 {
		return nil
	}
	if !fixed(v.h, v.w, v.oh, v.ow) {
		return nil
	}
	return v
}

// images is the number of images, one where it is not known.
func (v *conv) images() float64 {
	if v.n.IsConst() {
		return float64(v.n.Value())
	}
	return 1
}

// directNs estimates the time of a convolution without Winograd, which skips what falls outside the image.
func (v *conv) directNs() float64 {
	taps := func(n, out, before int64) float64 {
		t := int64(0)
		for o := range out {
			for k := range int64(3) {
				if x := o - before + k; x >= 0 && x < n {
					t++
				}
			}
		}
		return float64(t)
	}
	pixels := taps(v.h.Value(), v.oh.Value(), v.top) * taps(v.w.Value(), v.ow.Value(), v.left)
	channels := float64(v.c * v.oc)
	return 2*channels*pixels*v.images()/directFlops + 4*9*channels/weightBytes
}

// winogradNs is the least time of the forms.
func (v *conv) winogradNs() float64 {
	least := math.Inf(1)
	for _, f := range winoForms {
		least = min(least, v.newWinograd(f).ns())
	}
	return least
}

// ns estimates the time of the steps. Each weight is read once, while products are computed; a reduction takes some steps to
// begin and to end.
func (w *winograd) ns() float64 {
	const ends = 4
	in, out := float64(blocks(w.c)*block), float64(blocks(w.oc)*block)
	tiles, mul := float64(w.th*w.tw)*w.images(), float64(w.mul)
	products := 2 * mul * (float64(w.c) + ends) * out * tiles / winoFlops
	return max(products, 4*mul*float64(w.c)*out/weightBytes) + 4*mul*tiles*(in+out)/pixelBytes
}
