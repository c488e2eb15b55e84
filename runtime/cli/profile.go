package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/peak"
	"github.com/nnc-go/nnc/runtime/plan"
)

// profileRuns is the least number of runs that a profile is the median of.
const profileRuns = 5

// limits are what the machine can do at most, with the threads in use; what is not known is absent.
type limits struct {
	GFLOPS float64          `json:"gflops"`
	Read   []peak.Bandwidth `json:"read"` // of more and more bytes
}

// from is the bandwidth for a step that moves so many bytes: of the smallest cache that would hold them.
func (l *limits) from(bytes int64) float64 {
	for i, b := range l.Read {
		if bytes <= b.Bytes || i == len(l.Read)-1 {
			return b.GBPS
		}
	}
	return 0
}

// profile says where the time of a run goes; the JSON names are fixed.
type profile struct {
	Model   string    `json:"model"`
	CPU     string    `json:"cpu"`
	Threads int       `json:"threads"`
	Runs    int       `json:"runs"`
	Peak    limits    `json:"peak"`
	Total   portion   `json:"total"`
	Ops     []portion `json:"ops"`
	Steps   []portion `json:"steps"`
}

// portion is a step, a kind of steps, or all of them. A step in a loop counts all its turns.
type portion struct {
	Step   int     `json:"step"` // -1: more than one
	Op     string  `json:"op"`
	Node   string  `json:"node,omitempty"` // of ONNX
	Times  int     `json:"times"`          // per run
	MS     float64 `json:"ms"`             // the median of the runs
	Share  float64 `json:"share"`
	FLOPs  int64   `json:"flops"`
	Bytes  int64   `json:"bytes"`
	Roof   float64 `json:"roofline,omitempty"`     // the least time that the limits allow / the time
	Limit  string  `json:"limited_by,omitempty"`   // the limit that makes it the least: flops or memory
	GFLOPS float64 `json:"gflops,omitempty"`       // that it reaches
	GBPS   float64 `json:"gbytes_per_s,omitempty"` // that it moves, from caches too
}

// profileOnly is the command profile.
func (a *app) profileOnly() error {
	if err := a.checkTimes(); err != nil {
		return err
	}
	m, err := a.load()
	if err != nil {
		return err
	}
	defer m.Close()
	in, err := a.anyInputs()
	if err != nil {
		return err
	}
	p, err := a.measure(m, in, make([]hostop.Value, len(a.Plan.Outputs)))
	if err != nil {
		return err
	}
	if a.json {
		return json.NewEncoder(a.out).Encode(p)
	}
	_, err = io.WriteString(a.out, p.table())
	return err
}

// event is a step that ran.
type event struct {
	step         int
	start, time  time.Duration // start counts from that of the run
	flops, bytes int64
}

// measure runs the model some times and adds up what it did; it writes the trace too.
func (a *app) measure(m *exec.Model, in, out []hostop.Value) (*profile, error) {
	if err := m.Run(context.Background(), in, out); err != nil { // cold caches
		return nil, err
	}
	var last []event
	var totals []time.Duration
	steps := make([]portion, len(a.Plan.Steps))
	times := make([][]time.Duration, len(steps))
	err := a.repeat(func() error {
		last = last[:0]
		begin := time.Now()
		err := m.Profile(context.Background(), in, out, func(i int, _ *plan.Step, d time.Duration, flops, bytes int64) {
			last = append(last, event{i, time.Since(begin) - d, d, max(flops, 0), max(bytes, 0)})
		})
		sums := make([]time.Duration, len(steps))
		total := time.Duration(0)
		for _, e := range last {
			sums[e.step] += e.time
			total += e.time
		}
		for i, d := range sums {
			times[i] = append(times[i], d)
		}
		totals = append(totals, total)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range steps {
		steps[i] = portion{Step: i, MS: ms(middle(times[i]))}
		steps[i].Op, steps[i].Node = a.describeStep(i)
	}
	for _, e := range last {
		s := &steps[e.step]
		s.Times++
		s.FLOPs += e.flops
		s.Bytes += e.bytes
	}
	p := a.newProfile(m, len(totals), steps, ms(middle(totals)))
	if a.trace != "" {
		err = p.writeTrace(a.trace, last)
	}
	return p, err
}

func middle(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// newProfile puts steps in relation to the whole and to what the machine can do.
func (a *app) newProfile(m *exec.Model, runs int, steps []portion, total float64) *profile {
	p := &profile{Model: a.Plan.Name, CPU: m.Level(), Threads: m.Threads(), Runs: runs}
	if p.Peak.GFLOPS = a.peakGFLOPS; a.peakGFLOPS <= 0 {
		p.Peak.GFLOPS = peak.GFLOPS(m.Level(), m.Threads())
	}
	if p.Peak.Read = []peak.Bandwidth{{GBPS: a.peakGBPS}}; a.peakGBPS <= 0 {
		p.Peak.Read = peak.Bandwidths(m.Threads())
	}
	p.Total = portion{Step: -1, Op: "all", MS: total}
	ops := map[string]*portion{}
	for _, s := range steps {
		if s.Times == 0 {
			continue
		}
		o := ops[s.Op]
		if o == nil {
			o = &portion{Step: -1, Op: s.Op}
			ops[s.Op] = o
		}
		o.add(&s)
		o.MS += s.MS
		p.Total.add(&s)
		p.Peak.bound(&s, o, &p.Total)
		p.Steps = append(p.Steps, s)
	}
	for _, o := range ops {
		p.Ops = append(p.Ops, *o)
	}
	slices.SortFunc(p.Ops, func(x, y portion) int {
		return cmp.Or(cmp.Compare(y.MS, x.MS), cmp.Compare(x.Op, y.Op))
	})
	for i := range p.Steps {
		p.finish(&p.Steps[i])
	}
	for i := range p.Ops {
		p.finish(&p.Ops[i])
	}
	p.finish(&p.Total)
	return p
}

func (o *portion) add(s *portion) {
	o.Times += s.Times
	o.FLOPs += s.FLOPs
	o.Bytes += s.Bytes
}

// bound sets the least time of a step, in milliseconds, and adds it to those of sums.
func (l *limits) bound(s *portion, sums ...*portion) {
	compute, move := quotient(float64(s.FLOPs), l.GFLOPS)/1e6, quotient(float64(s.Bytes), l.from(s.Bytes))/1e6
	s.Roof = max(compute, move)
	s.Limit = map[bool]string{true: "flops", false: "memory"}[compute >= move]
	for _, sum := range sums {
		sum.Roof += s.Roof
	}
}

// finish makes rates of sums. Roof holds the least time until then.
func (p *profile) finish(s *portion) {
	s.Share = quotient(s.MS, p.Total.MS)
	s.Roof = quotient(s.Roof, s.MS)
	s.GFLOPS, s.GBPS = quotient(float64(s.FLOPs), s.MS*1e6), quotient(float64(s.Bytes), s.MS*1e6)
	if s.Roof == 0 {
		s.Limit = ""
	}
}

func quotient(x, y float64) float64 {
	if y <= 0 {
		return 0
	}
	return x / y
}

// describeStep names what step i does, for a sum over all that do the same, and the node.
func (a *app) describeStep(i int) (op, node string) {
	s := &a.Plan.Steps[i]
	op, node, _ = strings.Cut(s.Name, " ")
	switch s.Kind {
	case plan.StepKernel:
		kernel, _, _ := strings.Cut(a.Plan.Kernels[s.Kernel], "_") // a number follows
		return strings.TrimSpace(op + " " + kernel), node
	case plan.StepHost:
		return s.HostOp + " (host)", node
	}
	return "(plan)", s.Name
}

const (
	columns = "%5s %5s %10s %6s %9s %9s %8s %8s  %5s %-6s  %s\n"
	// Of steps that only steer, those that take no time are of no interest.
	leastShare = 0.001
)

// table prints the steps in order, then their kinds, slowest first.
func (p *profile) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: level %s, %d threads, median of %d runs; limits %s GFLOP/s", p.Model, p.CPU, p.Threads, p.Runs, orDash("%.1f", p.Peak.GFLOPS))
	for _, r := range p.Peak.Read {
		fmt.Fprintf(&b, ", %.1f GB/s", r.GBPS)
		if len(p.Peak.Read) > 1 {
			fmt.Fprintf(&b, " of %d KB", r.Bytes>>10)
		}
	}
	b.WriteByte('\n')
	head := func(first, last string) {
		fmt.Fprintf(&b, "\n"+columns, first, "times", "ms", "share", "MFLOP", "MB", "GFLOP/s", "GB/s", "roof", "limit", last)
	}
	row := func(first string, s *portion, name string) {
		fmt.Fprintf(&b, columns, first, fmt.Sprint(s.Times), fmt.Sprintf("%.4f", s.MS), percent(s.Share), orDash("%.2f", float64(s.FLOPs)/1e6),
			orDash("%.3f", float64(s.Bytes)/1e6), orDash("%.2f", s.GFLOPS), orDash("%.2f", s.GBPS), percent(s.Roof), s.Limit, name)
	}
	head("step", "op and node")
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Op != "(plan)" || s.Share > leastShare {
			row(fmt.Sprint(s.Step), s, s.Op+" "+s.Node)
		}
	}
	head("", "op")
	for i := range p.Ops {
		row("", &p.Ops[i], p.Ops[i].Op)
	}
	row("", &p.Total, p.Total.Op)
	return b.String()
}

func orDash(format string, x float64) string {
	if x <= 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}

func percent(x float64) string {
	if x <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*x)
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
