// Package tune makes the choices between schedules that package lower leaves open by measuring them on this machine.
//
// All is measured where it will run: variants of the whole model take turns, so that caches hold what they hold in use,
// and the times of the steps that a choice is about are compared. In a round each op has one choice open, and a variant
// takes the same candidate, by number, of all open choices at once: there are as many variants as a choice has
// candidates, not as there are combinations.
package tune

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/runtime/plan"
)

// Model is what is tuned.
type Model interface {
	// Lower lowers it with the choices that choose makes.
	Lower(choose func(lower.Choice) int) (*lower.Program, error)
	// Runner prepares running programs that Lower has given.
	Runner(ctx context.Context, ps []*lower.Program) (Runner, error)
}

// Runner runs programs. Close it.
type Runner interface {
	// Run runs program i once and gives the time of each step.
	Run(ctx context.Context, i int) ([]time.Duration, error)
	Close() error
}

// Options say how to tune.
type Options struct {
	Cache    *Cache // nil for none
	Budget   time.Duration
	Progress func(share float64) // of the budget; may be nil
	Now      func() time.Time    // nil for the clock
}

// Decision is a choice that was made.
type Decision struct {
	lower.Choice
	Chosen int
	Times  []time.Duration // of an op by candidate
	Ops    int             // of the model that ask
	Cached bool
}

// Gain is the time of a run that was saved over the cost model's choice.
func (d *Decision) Gain() time.Duration {
	return time.Duration(d.Ops) * (d.Times[0] - d.Times[d.Chosen])
}

// Report says what was decided.
type Report struct {
	Decisions []*Decision // in the order in which they came up
	Left      int         // choices that the budget did not reach
	Warnings  []string
}

// Gain is that of all decisions.
func (r *Report) Gain() (g time.Duration) {
	for _, d := range r.Decisions {
		g += d.Gain()
	}
	return g
}

// Choose is a lower.Options.Choose that decides as reported.
func (r *Report) Choose(c lower.Choice) int {
	for _, d := range r.Decisions {
		if d.ID() == c.ID() {
			return d.Chosen
		}
	}
	return 0
}

// Print lists the decisions against the cost model.
func (r *Report) Print(w io.Writer) {
	for _, d := range r.Decisions {
		if d.Chosen != 0 {
			fmt.Fprintf(w, "    %-24s %-10s for %-10s -%v  %s\n", d.Name, d.Candidates[d.Chosen], d.Candidates[0], d.Gain().Round(time.Microsecond), d.Key)
		}
	}
}

const (
	leastRounds = 3
	mostRounds  = 30
	// margin is how many times faster than the cost model's choice another has to be to be taken: noise.
	margin = 1.03
)

// tuner is a tuning in progress.
type tuner struct {
	Options
	m      Model
	r      *Report
	start  time.Time
	made   map[string]*Decision
	missed map[string]bool // choices that are not in the cache
}

// Run decides the choices of a model.
func Run(ctx context.Context, m Model, o Options) (*Report, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &tuner{Options: o, m: m, r: &Report{}, start: o.Now(), made: map[string]*Decision{}, missed: map[string]bool{}}
	for {
		p, err := m.Lower(t.r.Choose)
		if err != nil {
			return nil, err
		}
		ops, cached := t.open(p)
		if cached {
			continue // what was found may bring up others
		}
		if len(ops) == 0 {
			t.count(p)
			return t.r, nil
		}
		done, err := t.round(ctx, disjoint(ops))
		if err != nil {
			return nil, err
		}
		if !done {
			t.r.Left = len(ids(ops))
			t.count(p)
			return t.r, nil
		}
	}
}

// open gives the undecided choices of each op that has some, in order. cached: some were in the cache.
func (t *tuner) open(p *lower.Program) (ops [][]lower.Asked, cached bool) {
	small := small(p)
	for _, a := range p.Asked {
		if t.made[a.ID()] != nil || small[a.ID()] {
			continue
		}
		if t.remembered(a.Choice) {
			cached = true
			continue
		}
		if n := len(ops); n > 0 && ops[n-1][0].First == a.First && ops[n-1][0].Last == a.Last {
			ops[n-1] = append(ops[n-1], a)
		} else {
			ops = append(ops, []lower.Asked{a})
		}
	}
	return ops, cached
}

// worth is the part of a run that the ops of a choice have to take, by a rough estimate, to be worth measuring.
const worth = 1.0 / 500

// small gives the choices whose ops take next to nothing of a run: operations and bytes as the plan states them, where it does.
func small(p *lower.Program) map[string]bool {
	ns := func(s *plan.Step) float64 {
		const flopsPerNs, bytesPerNs = 100, 20
		known := func(slot int32) float64 {
			if slot < 0 || int(slot) >= len(p.Plan.Slots) || p.Plan.Slots[slot].Op != plan.SlotConst {
				return math.NaN()
			}
			return float64(p.Plan.Slots[slot].Imm)
		}
		return max(known(s.Flops)/flopsPerNs, known(s.MemBytes)/bytesPerNs)
	}
	total, parts := 0.0, map[string]float64{}
	for i := range p.Plan.Steps {
		if x := ns(&p.Plan.Steps[i]); !math.IsNaN(x) {
			total += x
		}
	}
	for _, a := range p.Asked {
		for i := a.First; i < a.Last; i++ {
			parts[a.ID()] += ns(&p.Plan.Steps[i])
		}
	}
	m := map[string]bool{}
	for id, x := range parts {
		m[id] = x < worth*total
	}
	return m
}

// remembered decides a choice that is in the cache, where it has not looked for it yet.
func (t *tuner) remembered(c lower.Choice) bool {
	if t.missed[c.ID()] {
		return false
	}
	d, err := t.Cache.Load(c)
	if err != nil {
		t.r.Warnings = append(t.r.Warnings, err.Error())
	}
	if d == nil {
		t.missed[c.ID()] = true
		return false
	}
	t.decide(d)
	return true
}

func (t *tuner) decide(d *Decision) {
	t.made[d.ID()] = d
	t.r.Decisions = append(t.r.Decisions, d)
}

// count notes how many ops ask for each decision.
func (t *tuner) count(p *lower.Program) {
	for _, a := range p.Asked {
		if d := t.made[a.ID()]; d != nil {
			d.Ops++
		}
	}
}

func ids(ops [][]lower.Asked) map[string]bool {
	m := map[string]bool{}
	for _, op := range ops {
		for _, a := range op {
			m[a.ID()] = true
		}
	}
	return m
}

// disjoint picks choices to measure in one round: the first of as many ops as can be without two of one op.
func disjoint(ops [][]lower.Asked) map[string]lower.Choice {
	picked := map[string]lower.Choice{}
	free := func(id string) bool {
		for _, op := range ops {
			has := slices.ContainsFunc(op, func(a lower.Asked) bool { return a.ID() == id })
			other := slices.ContainsFunc(op, func(a lower.Asked) bool { _, ok := picked[a.ID()]; return ok && a.ID() != id })
			if has && other {
				return false
			}
		}
		return true
	}
	for _, op := range ops {
		if free(op[0].ID()) {
			picked[op[0].ID()] = op[0].Choice
		}
	}
	return picked
}

// round measures the candidates of some choices and decides them, unless the time is up first.
func (t *tuner) round(ctx context.Context, open map[string]lower.Choice) (done bool, err error) {
	if t.left() <= 0 {
		return false, nil
	}
	n := 0
	for _, c := range open {
		n = max(n, len(c.Candidates))
	}
	ps := make([]*lower.Program, n)
	for i := range ps {
		ps[i], err = t.m.Lower(func(c lower.Choice) int {
			if _, ok := open[c.ID()]; ok {
				return i % len(c.Candidates)
			}
			return t.r.Choose(c)
		})
		if err != nil {
			return false, err
		}
	}
	r, err := t.m.Runner(ctx, ps)
	if err != nil {
		return false, err
	}
	defer r.Close()
	steps, ok, err := t.measure(ctx, r, n)
	if err != nil || !ok {
		return false, err
	}
	return true, t.conclude(ps, steps, open)
}

func (t *tuner) left() time.Duration { return t.Budget - t.Now().Sub(t.start) }

// measure runs n programs by turns and gives the least time of each step of each. The first runs, which touch all memory
// for the first time, do not count.
func (t *tuner) measure(ctx context.Context, r Runner, n int) (least [][]time.Duration, ok bool, err error) {
	least = make([][]time.Duration, n)
	// For the choices that follow there has to be some time; but what it took to compile is not thrown away.
	begin, budget := t.Now(), t.left()/3
	for round := range mostRounds + 1 {
		for i := range least {
			if late := -t.left(); late >= 0 && round > leastRounds || late > t.Budget {
				return least, round > leastRounds, nil
			}
			d, err := r.Run(ctx, i)
			if err != nil {
				return nil, false, err
			}
			if t.Progress != nil {
				t.Progress(1 - float64(t.left())/float64(t.Budget))
			}
			if round <= 1 {
				least[i] = d
				continue
			}
			for s := range d {
				least[i][s] = min(least[i][s], d[s])
			}
		}
		if round >= leastRounds && t.Now().Sub(begin) > budget {
			break
		}
	}
	return least, true, nil
}

// conclude decides by the times of the steps of the programs that were measured.
func (t *tuner) conclude(ps []*lower.Program, steps [][]time.Duration, open map[string]lower.Choice) error {
	for _, first := range ps[0].Asked {
		c, ok := open[first.ID()]
		if !ok || t.made[c.ID()] != nil {
			continue
		}
		d := &Decision{Choice: c, Times: make([]time.Duration, len(c.Candidates))}
		for i := range c.Candidates {
			sums, ops := time.Duration(0), 0
			for v := i; v < len(ps); v += len(c.Candidates) {
				all, n := timeOf(ps[v], steps[v], c.ID())
				if ops == 0 || all < sums {
					sums, ops = all, n
				}
			}
			if ops > 0 {
				d.Times[i] = sums / time.Duration(ops)
			}
		}
		for i, x := range d.Times {
			if x < d.Times[d.Chosen] && float64(x)*margin < float64(d.Times[0]) {
				d.Chosen = i
			}
		}
		t.decide(d)
		if err := t.Cache.Store(d); err != nil {
			t.r.Warnings = append(t.r.Warnings, err.Error())
		}
	}
	return nil
}

// timeOf is the time of the steps of the ops that ask a choice, and the number of these ops.
func timeOf(p *lower.Program, steps []time.Duration, id string) (sum time.Duration, ops int) {
	for _, a := range p.Asked {
		if a.ID() != id {
			continue
		}
		ops++
		for _, d := range steps[a.First:a.Last] {
			sum += d
		}
	}
	return sum, ops
}
