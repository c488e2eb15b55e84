// Command mca asks llvm-mca how fast the inner loops of a model's arm64 kernels are on processors that are not at hand:
// cycles per fused multiply-add, beside those of fused multiply-adds alone, in the same model of the processor.
//
//	go run ./mca -nnc NNC MODEL...
//
// llvm-mca assumes that every load hits the first cache, so this bounds what the instruction stream can reach and says
// nothing about memory.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	nnc  = flag.String("nnc", "nnc", "the nnc command")
	mca  = flag.String("mca", "llvm-mca-19", "the llvm-mca command")
	cpus = flag.String("cpus", "neoverse-n1,neoverse-v1,apple-m1,cortex-a72", "processors, by LLVM's names")
	most = flag.Int("loops", 12, "kernels per model, those whose loops have most multiply-adds")
)

// minFMA is the number of multiply-adds from which on a loop counts as a register tile.
const minFMA = 16

// loop is an innermost loop: one block of instructions that jumps to its own start.
type loop struct {
	kernel string
	body   []string
	fmas   int
}

func main() {
	flag.Parse()
	log.SetFlags(0)
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: mca [flags] MODEL...")
		os.Exit(2)
	}
	names := strings.Split(*cpus, ",")
	peak := map[string]float64{}
	for _, c := range names {
		p, err := cycles(c, alone())
		if err != nil {
			log.Fatal(err)
		}
		peak[c] = p / minFMA
	}
	fmt.Printf("| kernel | multiply-adds in the loop | %s |\n|---|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	fmt.Printf("| multiply-adds alone | | %s |\n", row(names, func(c string) string { return fmt.Sprintf("%.3f", peak[c]) }))
	for _, m := range flag.Args() {
		if err := model(m, names, peak); err != nil {
			log.Fatal(err)
		}
	}
}

func row(names []string, f func(c string) string) string {
	var s []string
	for _, c := range names {
		s = append(s, f(c))
	}
	return strings.Join(s, " | ")
}

// alone is a loop of multiply-adds that do not depend on each other.
func alone() []string {
	var s []string
	for i := range minFMA {
		s = append(s, fmt.Sprintf("fmla v%d.4s, v30.4s, v31.s[0]", i))
	}
	return s
}

func model(path string, names []string, peak map[string]float64) error {
	loops, err := loopsOf(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, l := range loops[:min(*most, len(loops))] {
		per := map[string]float64{}
		for _, c := range names {
			n, err := cycles(c, l.body)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", path, l.kernel, err)
			}
			per[c] = n / float64(l.fmas)
		}
		fmt.Printf("| %s | %d | %s |\n", l.kernel, l.fmas, row(names, func(c string) string {
			return fmt.Sprintf("%.3f (%.0f%%)", per[c], 100*peak[c]/per[c])
		}))
	}
	return nil
}

// loopsOf compiles a model for arm64 and gives the largest loop of each kernel, largest first.
func loopsOf(path string) ([]loop, error) {
	dir, err := os.MkdirTemp("", "nnc-mca-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(*nnc, "build", path, "-target=linux/arm64", "-backend=llvm", "-emit=asm", "-o", filepath.Join(dir, "k"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "k*"))
	if err != nil {
		return nil, err
	}
	var all []loop
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		all = append(all, parse(b)...)
	}
	slices.SortStableFunc(all, func(a, b loop) int { return b.fmas - a.fmas })
	return all, nil
}

var (
	label  = regexp.MustCompile(`^([.\w]+):`)
	branch = regexp.MustCompile(`^\s+(?:b\.\w+|b|cbn?z\s+\w+,|tbn?z\s+\w+,\s*#\d+,)\s+(\.\w+)`)
)

// parse finds the largest innermost loop of each function.
func parse(text []byte) (loops []loop) {
	best := map[string]int{}
	var fn, at string
	var body []string
	for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "//")
		if m := label.FindStringSubmatch(line); m != nil {
			if !strings.HasPrefix(m[1], ".") {
				fn = m[1]
			}
			at, body = m[1], nil
			continue
		}
		if line = strings.TrimRight(line, " \t"); line == "" || strings.HasPrefix(strings.TrimSpace(line), ".") {
			continue
		}
		body = append(body, strings.TrimSpace(line))
		m := branch.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if m[1] == at {
			l := loop{fn, body[:len(body)-1], count(body)}
			switch i, seen := best[fn]; {
			case l.fmas < minFMA:
			case !seen:
				best[fn], loops = len(loops), append(loops, l)
			case l.fmas > loops[i].fmas:
				loops[i] = l
			}
		}
		at, body = "", nil
	}
	return loops
}

func count(body []string) (n int) {
	for _, s := range body {
		if strings.HasPrefix(s, "fmla") {
			n++
		}
	}
	return n
}

var total = regexp.MustCompile(`Total Cycles:\s+(\d+)`)

// iterations of a loop that llvm-mca runs: enough that its start does not count.
const iterations = 1000

// cycles gives the cycles of one iteration of body.
func cycles(cpu string, body []string) (float64, error) {
	cmd := exec.Command(*mca, "-mtriple=aarch64-linux-gnu", "-mcpu="+cpu, fmt.Sprintf("-iterations=%d", iterations), "-instruction-info=0", "-resource-pressure=0")
	cmd.Stdin = strings.NewReader(strings.Join(body, "\n") + "\n")
	var msg bytes.Buffer
	cmd.Stderr = &msg
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s -mcpu=%s: %w\n%s", *mca, cpu, err, msg.String())
	}
	m := total.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s -mcpu=%s: no total of cycles in its output:\n%s", *mca, cpu, out)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	return n / iterations, err
}
