package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// writeReport makes RESULTS.md and results.svg of rows. The ratios are those of the first other contender.
func writeReport(dir string, s setting, rows []*row) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Results\n\nMade by `make bench` (%d rounds of %s each). %s. nnc: commit %s, `%s`, backend %s. %s.\n\n", s.Pairs, s.Time, s.Machine, s.Commit, s.Version, s.Backend, versions(rows))
	b.WriteString(`Each figure with a slash is nnc / the other. A ratio is the other's p50 over nnc's, the median of the rounds, with the least and
the largest; more than 1 says that nnc is faster. "Peak" is the operations of the plan per second of p50, as a part of what the
machine's multiply-add instructions reach on as many threads; of Winograd's convolutions the operations that are done count, which are
fewer. "Start" is from the start of a process to its first output, on one thread. "RSS" is the peak memory of a timed process. "Size" is the executable with its weights, and without.

![ratios](results.svg)
`)
	for _, suite := range suites(rows) {
		fmt.Fprintf(&b, "\n## %s\n\n", suite)
		of := inSuite(rows, suite)
		table(&b, s, of)
		summary(&b, s, of)
	}
	if err := os.WriteFile(filepath.Join(dir, "RESULTS.md"), []byte(b.String()), 0o666); err != nil {
		return err
	}
	return draw(filepath.Join(dir, "results.svg"), strings.Split(s.Threads, ","), rows)
}

// versions names the others.
func versions(rows []*row) string {
	var said []string
	for _, r := range rows {
		for _, o := range r.Others {
			v := strings.TrimSpace(o.Name + " " + o.Version)
			if o.Version != "" && !strings.Contains(strings.Join(said, ", "), v) {
				said = append(said, v)
			}
		}
	}
	return "Beside it: " + strings.Join(said, ", ")
}

func suites(rows []*row) (names []string) {
	seen := map[string]bool{}
	for _, r := range rows {
		if !seen[r.Suite] {
			seen[r.Suite] = true
			names = append(names, r.Suite)
		}
	}
	return names
}

func inSuite(rows []*row, suite string) (of []*row) {
	for _, r := range rows {
		if r.Suite == suite {
			of = append(of, r)
		}
	}
	return of
}

// rival is the contender that a row's ratios are of, nil without one that could run.
func (r *row) rival() *other {
	if r.Error == "" && len(r.Others) > 0 && r.Others[0].Error == "" {
		return r.Others[0]
	}
	return nil
}

func table(b *strings.Builder, s setting, rows []*row) {
	threads := strings.Split(s.Threads, ",")
	b.WriteString("| model |")
	for _, t := range threads {
		fmt.Fprintf(b, " p50 ms, %s thr. | ratio | peak |", t)
	}
	b.WriteString(" start ms | RSS MB | size MB | build s, MB | worst diff. |\n|---|" + strings.Repeat("---|", 3*len(threads)+5) + "\n")
	for _, r := range rows {
		fmt.Fprintf(b, "| %s |", r.Model)
		if r.Error != "" {
			fmt.Fprintf(b, " %s |\n", oneLine(r.Error))
			continue
		}
		o, n := r.rival(), &r.NNC
		for _, t := range threads {
			if o == nil {
				fmt.Fprintf(b, " %.3g | - | %s |", n.P50[t], r.peak(t))
				continue
			}
			fmt.Fprintf(b, " %.3g / %.3g | **%.2f** (%.2f-%.2f) | %s |", n.P50[t], o.P50[t], o.Ratio[t], o.Range[t][0], o.Range[t][1], r.peak(t))
		}
		beside := func(format string, x, y float64) string {
			if o == nil {
				return fmt.Sprintf(format, x)
			}
			return fmt.Sprintf(format+" / "+format, x, y)
		}
		diff := "-"
		theirs := &figures{}
		if o != nil {
			diff, theirs = fmt.Sprintf("%.0e", o.WorstRelDiff), &o.figures
		}
		fmt.Fprintf(b, " %s | %s | %.1f, %.2f | %.1f, %.0f | %s |\n", beside("%.3g", n.StartMS, theirs.StartMS), beside("%.0f", mb(n.RSS), mb(theirs.RSS)),
			mb(n.Size), mb(n.LessWeights), n.BuildS, mb(n.BuildRSS), diff)
	}
	for _, r := range rows {
		for _, o := range r.Others {
			if o.Error != "" {
				fmt.Fprintf(b, "\n%s, %s: %s\n", r.Model, o.Name, oneLine(o.Error))
			}
		}
	}
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

// oneLine is the end of a message, which says most, for a cell of a table.
func oneLine(s string) string {
	s = strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "/")
	const most = 160
	if len(s) > most {
		s = "..." + s[len(s)-most:]
	}
	return s
}

// peak is the part of the multiply-add peak that a row reaches.
func (r *row) peak(threads string) string {
	p := r.Profile[threads]
	if p == nil || p.Peak.GFLOPS == 0 || p.Total.FLOPs == 0 || r.NNC.P50[threads] == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*p.Total.FLOPs/(r.NNC.P50[threads]*1e6)/p.Peak.GFLOPS)
}

// summary gives the geometric means, the worst, and how many were not compared.
func summary(b *strings.Builder, s setting, rows []*row) {
	b.WriteByte('\n')
	for _, t := range strings.Split(s.Threads, ",") {
		mean, worst, n := geomean(rows, t)
		if n > 0 {
			fmt.Fprintf(b, "%s threads: geometric mean **%.2f**, worst %.2f (%s), of %d of %d rows.\n", t, mean, worst.Others[0].Ratio[t], worst.Model, n, len(rows))
		}
	}
}

func geomean(rows []*row, threads string) (mean float64, worst *row, n int) {
	sum := 0.0
	for _, r := range rows {
		o := r.rival()
		if o == nil || o.Ratio[threads] <= 0 {
			continue
		}
		sum += math.Log(o.Ratio[threads])
		n++
		if worst == nil || o.Ratio[threads] < worst.Others[0].Ratio[threads] {
			worst = r
		}
	}
	return math.Exp(sum / float64(max(n, 1))), worst, n
}
