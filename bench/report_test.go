package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func rowOf(suite, model string, ratio float64) *row {
	r := &row{Suite: suite, Model: model, NNC: figures{P50: map[string]float64{"1": 2}}, Profile: map[string]*profile{"1": {}}}
	r.Profile["1"].Peak.GFLOPS, r.Profile["1"].Total.FLOPs = 100, 1e8
	r.Others = []*other{{
		Name: "ort", Version: "1.30.0", figures: figures{P50: map[string]float64{"1": 2 * ratio}},
		Ratio: map[string]float64{"1": ratio}, Range: map[string][2]float64{"1": {ratio - 0.25, ratio + 0.25}},
	}}
	return r
}

func TestReport(t *testing.T) {
	wrong := rowOf("b", "wrong", 9)
	wrong.Others[0].Error = "its outputs\ndiffer | a lot"
	rows := []*row{rowOf("a", "fast", 4), rowOf("a", "slow", 1), {Suite: "a", Model: "bad", Error: "no\nbuild"}, wrong}
	dir := t.TempDir()
	if err := writeReport(dir, setting{Commit: "abc", Threads: "1", Pairs: 3, Time: "1s"}, rows); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"commit abc", "ort 1.30.0", "## a", "## b", "| fast | 2 / 8 | **4.00** (3.75-4.25) | 50% |", "| bad | no build |",
		"1 threads: geometric mean **2.00**, worst 1.00 (slow), of 2 of 3 rows.", "wrong, ort: its outputs differ / a lot", "| wrong | 2 | - | 50% |",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
	svg, err := os.ReadFile(filepath.Join(dir, "results.svg"))
	if err != nil || !strings.Contains(string(svg), "fast") || strings.Contains(string(svg), "wrong") {
		t.Errorf("the picture has what was compared and nothing else: %v\n%s", err, svg)
	}
}

// TestResume: rows of the same commit and flags are found again, behind a line that was cut off too.
func TestResume(t *testing.T) {
	now := setting{Commit: "abc", Threads: "1"}
	good, failed, old := rowOf("a", "m P=0", 2), rowOf("a", "failed", 2), rowOf("a", "old", 2)
	good.Setting, failed.Setting, failed.Error = now, now, "killed"
	text := ""
	for _, r := range []*row{old, failed, good} {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b) + "\n" + `{"model":"cut` + "\n"
	}
	file := filepath.Join(t.TempDir(), "results.jsonl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	rows, err := readResults(file)
	if err != nil || len(rows) != 3 {
		t.Fatalf("got %d rows, %v", len(rows), err)
	}
	for _, c := range []struct {
		model, dims string
		want        bool
	}{{"m", "P=0", true}, {"m", "P=1", false}, {"failed", "", false}, {"old", "", false}} {
		if got := find(rows, now, &testCase{"a", "/x/" + c.model + ".onnx", c.dims}); (got != nil) != c.want {
			t.Errorf("%s %s: got %v", c.model, c.dims, got)
		}
	}
}

func TestCases(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"x.onnx", "m/model.onnx", "n/model.onnx"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "cases.txt")
	if err := os.WriteFile(file, []byte("# about\n\na x.onnx P=0,T=1\nb */model.onnx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cs, err := readCases(file, "a="+dir+",b="+dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range cs {
		names = append(names, c.suite+" "+c.name())
	}
	if got := strings.Join(names, "; "); got != "a x P=0,T=1; b m; b n" {
		t.Error(got)
	}
	if _, err := readCases("cases.txt", ""); err != nil {
		t.Error(err)
	}
}
