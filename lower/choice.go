package lower

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/target"
)

// Choice is a decision between schedules that compute the same. A cost model makes it; measuring may overrule it.
type Choice struct {
	Name       string   // a row of Choices
	Key        string   // all that the times of the candidates depend on, but the machine
	Candidates []string // the first is what the cost model prefers
}

// ID tells choices apart: all with the same are decided alike.
func (c Choice) ID() string { return fmt.Sprintf("%s %s %q", c.Name, c.Key, c.Candidates) }

// Choices lists the decisions that measuring may overrule, and why the cost model may be wrong about each.
var Choices = [...]struct{ Name, Why string }{
	convAlgorithm: {"conv.algorithm", "Winograd moves more memory for fewer products; what memory costs depends on who else used the caches"},
	convVectors:   {"conv.vectors", "vectors of output channels or of pixels: padding in the one, shuffles in the other"},
	convOrder:     {"conv.order", "rows or weights in the outer loop: which of them stays in cache depends on its size"},
	convRows:      {"conv.rows", "rows of pixels that are computed as one: fewer remainders of tiles, fewer iterations to share out"},
	dwTile:        {"depthwise.tile", "pixels of a register tile: loads of weights that they share, or sums in progress"},
	convTile:      {"conv.tile", "pixels by channels of a register tile"},
	gemmTiles:     {"gemm.tile", "rows by columns of a register tile"},
}

// choiceName is an index of Choices.
type choiceName int

const (
	convAlgorithm choiceName = iota
	convVectors
	convOrder
	convRows
	dwTile
	convTile
	gemmTiles
)

// Asked is a choice that came up while an op was lowered.
type Asked struct {
	Choice
	First, Last int // the op's steps in the plan: [First, Last)
}

// choose decides between candidates, of which the first is what the cost model prefers: by Options.Choose if there is one.
func (c *Ctx) choose(name choiceName, key string, candidates ...string) int {
	if c.Opts.Choose == nil || len(candidates) < 2 {
		return 0
	}
	ch := Choice{Choices[name].Name, key, candidates}
	c.prog.Asked = append(c.prog.Asked, Asked{ch, -1, -1})
	return c.Opts.Choose(ch)
}

// rather decides between two, of which the cost model prefers yes or no.
func (c *Ctx) rather(name choiceName, key, yes, no string, estimate bool) bool {
	if estimate {
		return c.choose(name, key, yes, no) == 0
	}
	return c.choose(name, key, no, yes) == 1
}

// answered gives the choices that came up since there were n to the steps from first on, once each. Those of nested ops
// have theirs.
func (c *Ctx) answered(n, first int) {
	all := c.prog.Asked
	kept := all[:n]
	known := map[string]bool{}
	for _, a := range all[n:] {
		if a.First < 0 {
			if id := a.ID(); known[id] {
				continue
			} else {
				known[id] = true
			}
			a.First, a.Last = first, len(c.p.Steps)
		}
		kept = append(kept, a)
	}
	c.prog.Asked = kept
}

// String names the ops, for the keys of choices.
func (b *body) String() string {
	s := ""
	for _, op := range b.ops {
		if op.Info.Name != "Const" {
			s += " " + op.Info.Name
		}
	}
	return s
}

// doubt is how many times the least estimated cost of a register tile another may have to be worth measuring.
const doubt = 1.4

// chooseTile decides between tiles, the best by the cost model first.
func (c *Ctx) chooseTile(name choiceName, l *target.Level, tiles []tile, sizes []ir.Dim, more ...any) tile {
	if c.Opts.Choose == nil || !fixed(sizes...) {
		return tiles[0]
	}
	var texts []string
	for _, t := range tiles {
		texts = append(texts, fmt.Sprintf("%dx%d", t.rows, t.blocks*target.Block))
	}
	return tiles[c.choose(name, fmt.Sprint(l.Name, " ", sizes, more), texts...)]
}

// chooseRows decides how many rows of a convolution on pixels become one; cost estimates a pixel's time by them.
func (c *Ctx) chooseRows(v *conv, best int64, cost map[int64]float64) int64 {
	if c.Opts.Choose == nil {
		return best
	}
	rows, texts := []int64{best}, []string{fmt.Sprint(best)}
	for _, f := range slices.Sorted(maps.Keys(cost)) {
		if f != best && cost[f] < 1.1*cost[best] && len(rows) < 4 {
			rows, texts = append(rows, f), append(texts, fmt.Sprint(f))
		}
	}
	return rows[c.choose(convRows, fmt.Sprint(v.sizes(), v), texts...)]
}

// fixed reports whether all dimensions are known: what is fast with the sizes of a measurement need not be with others.
func fixed(dims ...ir.Dim) bool {
	return !slices.ContainsFunc(dims, func(d ir.Dim) bool { return !d.IsConst() })
}
