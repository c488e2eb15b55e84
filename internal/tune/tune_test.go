package tune

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/runtime/plan"
)

// fake is a model whose ops take the times that a table gives; it runs on a clock of its own.
type fake struct {
	ops   [][]lower.Choice         // a step each
	times map[string]time.Duration // of a choice's candidate, "NAME KEY=candidate"; op times are sums
	clock time.Duration
	runs  int
	made  []map[string]string // of each program that is running
	taken map[*lower.Program]map[string]string
}

func (f *fake) Lower(choose func(lower.Choice) int) (*lower.Program, error) {
	p, taken := &lower.Program{Plan: &plan.Plan{Slots: []plan.SlotDef{{Imm: 1}, {Imm: 1_000_000}}}}, map[string]string{}
	for i, op := range f.ops {
		p.Plan.Steps = append(p.Plan.Steps, plan.Step{MemBytes: 1})
		for _, c := range op {
			p.Asked = append(p.Asked, lower.Asked{Choice: c, First: i, Last: i + 1})
			got := c.Candidates[choose(c)]
			taken[c.ID()] = got
			if got == "hidden" { // another choice comes up
				p.Asked = append(p.Asked, lower.Asked{Choice: inner, First: i, Last: i + 1})
				taken[inner.ID()] = inner.Candidates[choose(inner)]
			}
		}
	}
	f.taken[p] = taken
	return p, nil
}

func (f *fake) Runner(_ context.Context, ps []*lower.Program) (Runner, error) {
	f.made = nil
	for _, p := range ps {
		f.made = append(f.made, f.taken[p])
	}
	return f, nil
}

func (f *fake) Run(_ context.Context, i int) ([]time.Duration, error) {
	f.runs++
	steps := make([]time.Duration, len(f.ops))
	for s, op := range f.ops {
		for _, c := range op {
			steps[s] += f.times[short(c)+"="+f.made[i][c.ID()]]
			if f.made[i][c.ID()] == "hidden" {
				steps[s] += f.times["inner x="+f.made[i][inner.ID()]]
			}
		}
		steps[s] += time.Duration(f.runs % 3) // noise
		f.clock += steps[s]
	}
	return steps, nil
}

func (f *fake) Close() error { return nil }

func (f *fake) tune(t *testing.T, o Options) *Report {
	f.taken = map[*lower.Program]map[string]string{}
	o.Now = func() time.Time { return time.Unix(0, 0).Add(f.clock) }
	if o.Budget == 0 {
		o.Budget = time.Hour
	}
	r, err := Run(context.Background(), f, o)
	require.NoError(t, err)
	return r
}

func choice(name, key string, candidates ...string) lower.Choice {
	return lower.Choice{Name: name, Key: key, Candidates: candidates}
}

func short(c lower.Choice) string { return c.Name + " " + c.Key }

// inner comes up where a choice is decided for "hidden".
var inner = choice("inner", "x", "1", "2")

func chosen(r *Report) map[string]string {
	m := map[string]string{}
	for _, d := range r.Decisions {
		m[short(d.Choice)] = fmt.Sprintf("%s of %d", d.Candidates[d.Chosen], d.Ops)
	}
	return m
}

// example has an op with two choices, of which it shares one with another op; a choice that is a little faster otherwise; one that
// brings up another.
func example() *fake {
	alg, a, b, c := choice("alg", "x", "direct", "fast"), choice("tile", "a", "1", "2", "3"), choice("tile", "b", "1", "2"), choice("alg", "y", "plain", "hidden")
	return &fake{ops: [][]lower.Choice{{alg, a}, {a}, {b}, {c}}, times: map[string]time.Duration{
		"alg x=direct": 1000, "alg x=fast": 700, "tile a=1": 1000, "tile a=2": 1100, "tile a=3": 500, "tile b=1": 1000, "tile b=2": 990,
		"alg y=plain": 900, "alg y=hidden": 300, "inner x=1": 500, "inner x=2": 100,
	}}
}

var best = map[string]string{"alg x": "fast of 1", "tile a": "3 of 2", "tile b": "1 of 1", "alg y": "hidden of 1", "inner x": "2 of 1"}

func TestRun(t *testing.T) {
	r := example().tune(t, Options{})
	require.Equal(t, best, chosen(r))
	require.InDelta(t, 300+2*500+100+400, int(r.Gain()), 20)
}

// TestSmall: what takes next to nothing is not measured.
func TestSmall(t *testing.T) {
	f := example()
	p, err := (&fake{ops: f.ops, taken: map[*lower.Program]map[string]string{}}).Lower(func(lower.Choice) int { return 0 })
	require.NoError(t, err)
	p.Plan.Steps[2].MemBytes = 0
	for id, is := range small(p) {
		require.Equal(t, strings.HasPrefix(id, "tile b"), is)
	}
}

func TestBudget(t *testing.T) {
	r := example().tune(t, Options{Budget: 10})
	require.Empty(t, r.Decisions)
	require.Equal(t, 4, r.Left)
}

// TestCache: what was measured is not measured again, and a file that is damaged is.
func TestCache(t *testing.T) {
	cache := &Cache{Dir: filepath.Join(t.TempDir(), "new"), ID: "machine"}
	r := example().tune(t, Options{Cache: cache})
	require.Equal(t, best, chosen(r))
	f := example()
	again := f.tune(t, Options{Cache: cache})
	require.Zero(t, f.runs)
	require.Equal(t, best, chosen(again))
	require.Equal(t, r.Gain(), again.Gain())

	other := example()
	other.tune(t, Options{Cache: &Cache{Dir: cache.Dir, ID: "another machine"}})
	require.NotZero(t, other.runs)

	for _, text := range []string{"", "{", `{"choice":"alg","key":"x","candidates":["direct","fast"],"ns":[1,2],"chosen":"?"}`, `{"choice":"alg","key":"z"}`} {
		require.NoError(t, os.WriteFile(cache.path(choice("alg", "x", "direct", "fast")), []byte(text), 0o600))
		f := example()
		r := f.tune(t, Options{Cache: cache})
		require.Len(t, r.Warnings, 1)
		require.Contains(t, r.Warnings[0], "measured anew")
		require.NotZero(t, f.runs)
		require.Equal(t, best, chosen(r))
		f = example()
		require.Empty(t, f.tune(t, Options{Cache: cache}).Warnings)
		require.Zero(t, f.runs)
	}
}

func TestCPU(t *testing.T) {
	require.Contains(t, cpuOf("processor\t: 0\nmodel name\t: A B\n\nprocessor\t: 1\nmodel name\t: A B\ncpu MHz: 1\n"), " model name=A B")
	require.NotContains(t, cpuOf("cpu MHz: 1\n"), "MHz")
}
