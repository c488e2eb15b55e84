package passes

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/ir"
)

var update = flag.Bool("update", false, "rewrite the expected halves of testdata/*.nir")

// allRules is every rule that a pass applies.
func allRules() []*rule {
	return slices.Concat(canonRules, expandRules, foldRules, viewRules, idiomRules, attentionRules, algebraRules, linearRules, channelRules, qkvRules)
}

// ruleCase is "=== rule[: note]" or "=== pass NAME[: note]", the module before, "---", the module after. A case whose module must
// stay as it is has a note that begins with "not".
type ruleCase struct{ head, before, after string }

func readCases(t *testing.T, path string) []ruleCase {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var cs []ruleCase
	for _, part := range strings.Split("\n"+string(b), "\n=== ")[1:] {
		head, body, _ := strings.Cut(part, "\n")
		before, after, _ := strings.Cut(body+"\n", "\n---\n")
		cs = append(cs, ruleCase{strings.TrimSpace(head), strings.TrimSpace(before), strings.TrimSpace(after)})
	}
	return cs
}

// TestRules applies one rule to each case, compares the text, and holds the evaluator's answers before
// against those after: bit for bit with NaN, infinities and signed zeros among the inputs where the rule claims to be exact and is no expansion.
func TestRules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.nir")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	byName := map[string]*rule{}
	for _, r := range allRules() {
		byName[r.name] = r
	}
	tested := map[string]bool{}
	for _, f := range files {
		cases := readCases(t, f)
		for i := range cases {
			c := &cases[i]
			name, note, _ := strings.Cut(c.head, ": ")
			t.Run(c.head, func(t *testing.T) {
				if pass, ok := strings.CutPrefix(name, "pass "); ok {
					runPassCase(t, pass, c)
					return
				}
				r := byName[name]
				require.NotNil(t, r, "no rule %q", name)
				runRuleCase(t, r, c, strings.HasPrefix(note, "not "))
				if !strings.HasPrefix(note, "not ") {
					tested[name] = true
				}
			})
		}
		if *update {
			var b strings.Builder
			for _, c := range cases {
				b.WriteString("=== " + c.head + "\n" + c.before + "\n---\n" + c.after + "\n\n")
			}
			require.NoError(t, os.WriteFile(f, []byte(b.String()), 0o644))
		}
	}
	for name := range byName {
		require.True(t, tested[name], "rule %s has no case in testdata", name)
	}
}

func runRuleCase(t *testing.T, r *rule, c *ruleCase, stays bool) {
	before, err := ir.Parse(c.before)
	require.NoError(t, err)
	_, err = ir.Infer(before)
	require.NoError(t, err)
	m, err := ir.Parse(c.before)
	require.NoError(t, err)
	s := newState(m, Options{Optimize: true})
	require.NoError(t, rewrite(s, []*rule{r}))
	require.NoError(t, ir.Verify(m))
	require.Equal(t, stays, s.stats.Hits[r.name] == 0, "hits of %s: %v", r.name, s.stats.Hits)
	golden(t, c, m)
	exact := !r.inexact && !slices.Contains(expandRules, r)
	in := randomInputs(t, before, 1, exact)
	requireClose(t, evaluate(t, before, in), evaluate(t, m, in), exact)

	if r.inexact {
		m, err = ir.Parse(c.before)
		require.NoError(t, err)
		s := newState(m, Options{Optimize: true, Strict: true})
		require.NoError(t, rewrite(s, []*rule{r}))
		require.Empty(t, s.stats.Hits, "-math=strict must turn %s off", r.name)
	}
}

// golden compares m with what the case expects, or makes it what the case expects.
func golden(t *testing.T, c *ruleCase, m *ir.Module) {
	got := strings.TrimSpace(ir.Print(m))
	if *update {
		c.after = got
	}
	require.Equal(t, c.after, got)
}

// runPassCase runs a whole pass, and holds the evaluator's answers before against those after.
func runPassCase(t *testing.T, pass string, c *ruleCase) {
	before, err := ir.Parse(c.before)
	require.NoError(t, err)
	_, err = ir.Infer(before)
	require.NoError(t, err)
	m, err := ir.Parse(c.before)
	require.NoError(t, err)
	product := func(op *ir.Op, _ bool) bool { return op.Name() == "MatMul" && ir.ConstOf(op.Operands[1]) != nil }
	_, err = Run(m, Options{Optimize: true, Passes: []string{pass}, Narrow: product, Debug: map[string]Debug{"all": {Check: true}}})
	require.NoError(t, err)
	golden(t, c, m)
	in := randomInputs(t, before, 1, false)
	want, got := evaluate(t, before, in), evaluate(t, m, in)
	if pass != "narrow" {
		requireClose(t, want, got, true)
		return
	}
	for i := range want {
		require.Empty(t, testcase.Compare(got[i], want[i], testcase.Tolerance{Rel: 2e-2, Abs: 2e-2}), "result %d", i)
	}
}

func newState(m *ir.Module, o Options) *State {
	return &State{M: m, Opts: &o, stats: &Stats{Hits: map[string]int{}}, budget: 1 << 30}
}
