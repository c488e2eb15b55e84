package passes

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nnc-go/nnc/ir"
)

// Debug is what -d=<pass>/<what> asks for about one pass.
type Debug struct {
	Dump  bool // write the module after the pass
	Check bool // verify the module after the pass
	Time  bool // write how long the pass took
}

// Options steer Run. The zero value is -O0 without any output.
type Options struct {
	// Optimize selects -O; without it only the passes that lowering needs run.
	Optimize bool
	// Strict is -math=strict: no rewrite that rounds differently from the model as written.
	Strict bool
	// Passes, when not nil, lists the passes to run in this order instead (-passes=a,b,c).
	Passes []string
	// Debug is by pass name; "all" means every pass.
	Debug map[string]Debug
	// Log receives dumps and times. Nil discards them.
	Log io.Writer
	// After, when not nil, is called after every pass, for snapshots. It must not change m.
	After func(pass string, m *ir.Module)
	// CanFuse, when not nil, says whether lowering has a kernel for op as a member of a Fused.
	CanFuse func(op *ir.Op) bool
	// Narrow, when not nil, says whether op, a product with constant weights, is to multiply bf16 instead of f32 (-math=fast);
	// free means that what computes its operand can round it as it is written.
	Narrow func(op *ir.Op, free bool) bool
	// FoldBudget bounds the bytes of the constants that folding makes; 0 means 1 GiB.
	FoldBudget int64
}

// PassStats is what one run of a pass did.
type PassStats struct {
	Name          string
	Time          time.Duration
	Before, After int // numbers of ops, nested ones included
}

// Stats is what Run did.
type Stats struct {
	Passes []PassStats
	Hits   map[string]int // by rule name
	// Warnings are what the user should know about the result.
	Warnings []string
}

// String is a table of passes, then one of rules, for -d=all/time and nnc opt.
func (s *Stats) String() string {
	var b strings.Builder
	for _, p := range s.Passes {
		fmt.Fprintf(&b, "%-10s %10v  %5d -> %5d ops\n", p.Name, p.Time.Round(time.Microsecond), p.Before, p.After)
	}
	for _, r := range slices.Sorted(maps.Keys(s.Hits)) {
		fmt.Fprintf(&b, "  %-26s %d\n", r, s.Hits[r])
	}
	return b.String()
}

// State is what a pass works with.
type State struct {
	M    *ir.Module
	Opts *Options
	// Inf is the inference context of the last inference: types of new ops are found with it.
	Inf    *ir.InferCtx
	stats  *Stats
	budget int64 // bytes that folding may still make
}

func (s *State) hit(rule string) { s.stats.Hits[rule]++ }

func (s *State) warn(format string, args ...any) {
	s.stats.Warnings = append(s.stats.Warnings, fmt.Sprintf(format, args...))
}

// infer types the whole module anew.
func (s *State) infer() error {
	inf, _, err := ir.InferAll(s.M)
	if err != nil {
		return err
	}
	s.Inf = inf
	return nil
}

// PassByName finds a row of the pipeline.
func PassByName(name string) (Pass, error) {
	var names []string
	for _, p := range Pipeline {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Pass{}, fmt.Errorf("passes: no pass %q; there are %s", name, strings.Join(names, ", "))
}

func (o *Options) selected() ([]Pass, error) {
	var sel []Pass
	if o.Passes != nil {
		for _, n := range o.Passes {
			p, err := PassByName(n)
			if err != nil {
				return nil, err
			}
			sel = append(sel, p)
		}
		return sel, nil
	}
	for _, p := range Pipeline {
		if o.Optimize || p.Needed {
			sel = append(sel, p)
		}
	}
	return sel, nil
}

// Run transforms m in place. The types and number of the graph's parameters and results stay; symbols
// of dimensions inside may be renamed. On an error m is left half transformed.
func Run(m *ir.Module, opts Options) (*Stats, error) {
	sel, err := opts.selected()
	if err != nil {
		return nil, err
	}
	for name := range opts.Debug {
		if _, err := PassByName(name); err != nil && name != "all" {
			return nil, err
		}
	}
	st := &State{M: m, Opts: &opts, stats: &Stats{Hits: map[string]int{}}, budget: opts.FoldBudget}
	if st.budget == 0 {
		st.budget = 1 << 30
	}
	if err := st.infer(); err != nil {
		return nil, err
	}
	for _, p := range sel {
		if err := st.run(p); err != nil {
			return st.stats, fmt.Errorf("pass %s: %w", p.Name, err)
		}
	}
	return st.stats, nil
}

func (s *State) run(p Pass) error {
	ps := PassStats{Name: p.Name, Before: CountOps(s.M.Graph)}
	start := time.Now()
	if err := p.Func(s); err != nil {
		return err
	}
	ps.Time = time.Since(start)
	ps.After = CountOps(s.M.Graph)
	s.stats.Passes = append(s.stats.Passes, ps)
	d, all := s.Opts.Debug[p.Name], s.Opts.Debug["all"]
	if log := s.Opts.Log; log != nil {
		if d.Time || all.Time {
			fmt.Fprintf(log, "# %s: %v, %d -> %d ops\n", p.Name, ps.Time, ps.Before, ps.After)
		}
		if d.Dump || all.Dump {
			fmt.Fprintf(log, "# after %s\n%s\n", p.Name, s.M)
		}
	}
	if d.Check || all.Check {
		if err := ir.Verify(s.M); err != nil {
			return fmt.Errorf("the module is broken after it: %w", err)
		}
	}
	if s.Opts.After != nil {
		s.Opts.After(p.Name, s.M)
	}
	return nil
}

// CountOps counts the ops of r and its nested regions, Consts left out.
func CountOps(r *ir.Region) int {
	n := 0
	r.Walk(func(op *ir.Op) {
		if op.Name() != "Const" {
			n++
		}
	})
	return n
}

func inferPass(s *State) error { return s.infer() }

// cleanPass merges duplicates, removes dead ops and brings all types up to date.
func cleanPass(s *State) error {
	if s.Opts.Optimize {
		if err := csePass(s); err != nil {
			return err
		}
	}
	removeDead(s)
	return s.infer()
}
