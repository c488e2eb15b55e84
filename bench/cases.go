package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// testCase is a model and the sizes that it runs on.
type testCase struct{ suite, model, dims string }

func (c *testCase) name() string {
	name := filepath.Base(strings.TrimSuffix(strings.TrimSuffix(c.model, "/model.onnx"), ".onnx"))
	return strings.TrimSpace(name + " " + c.dims)
}

// readCases reads a file such as cases.txt; dirs are the folders of suites, "NAME=DIR,...".
func readCases(file, dirs string) (cs []testCase, err error) {
	folder := map[string]string{}
	for _, kv := range strings.Split(dirs, ",") {
		k, v, _ := strings.Cut(kv, "=")
		folder[k] = v
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for n, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || f[0][0] == '#' {
			continue
		}
		if len(f) < 2 || len(f) > 3 {
			return nil, fmt.Errorf("%s:%d: want SUITE FILE [NAME=SIZE,...]", file, n+1)
		}
		files, err := filepath.Glob(filepath.Join(folder[f[0]], f[1]))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n+1, err)
		}
		if len(files) == 0 {
			fmt.Fprintf(os.Stderr, "%s:%d: no %s in %q\n", file, n+1, f[1], folder[f[0]])
		}
		for _, m := range files {
			cs = append(cs, testCase{f[0], m, strings.Join(f[2:], "")})
		}
	}
	return cs, nil
}

// setting is under what a row was measured; rows of another one are not comparable.
type setting struct {
	Commit  string `json:"commit"`
	Version string `json:"nnc_version"`
	Machine string `json:"machine"`
	Backend string `json:"backend"`
	With    string `json:"with"`
	Threads string `json:"threads"`
	Pairs   int    `json:"pairs"`
	Time    string `json:"time"`
}

func currentSetting() (setting, error) {
	version, _, _, err := run(*nnc, "version")
	if err != nil {
		return setting{}, err
	}
	return setting{commit(), strings.TrimSpace(string(version)), machine(), *backend, *with, *threads, *pairs, dur.String()}, nil
}

// commit is the last that changed something but this folder, where results are.
func commit() string {
	const all, but = ":/", ":(top,exclude)bench"
	id, err := exec.Command("git", "log", "-1", "--format=%h", "--abbrev=12", "--", all, but).Output()
	if err != nil {
		return "unknown"
	}
	if changes, _ := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--", all, but).Output(); len(changes) > 0 {
		return strings.TrimSpace(string(id)) + " and changes"
	}
	return strings.TrimSpace(string(id))
}

// machine names the processor and says how many there are.
func machine() string {
	model := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			model = strings.TrimSpace(v)
			break
		}
	}
	return fmt.Sprintf("%s, %d cores", model, runtime.NumCPU())
}

// readResults reads the rows of a file; a last line that was cut off is none.
func readResults(file string) (rs []*row, err error) {
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil, nil
	}
	sc := bufio.NewScanner(bytes.NewReader(text))
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		r := &row{}
		if json.Unmarshal(sc.Bytes(), r) == nil {
			rs = append(rs, r)
		}
	}
	return rs, cmp.Or(err, sc.Err())
}

// record measures the cases whose rows are not in the results yet, adds them there one by one, and writes the report.
func record(cases []testCase, tmp string, cs []*contender) error {
	now, err := currentSetting()
	if err != nil {
		return err
	}
	old, err := readResults(*results)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(*results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString("\n"); err != nil { // behind a line that was cut off
		return err
	}
	var rows []*row
	for i := range cases {
		c := &cases[i]
		r := find(old, now, c)
		if r == nil {
			fmt.Fprintf(os.Stderr, "%d of %d: %s\n", i+1, len(cases), c.name())
			if r, err = measure(c, tmp, cs); err != nil {
				r = &row{Model: c.name(), Error: strings.TrimSpace(err.Error())}
			}
			r.Suite, r.Setting = c.suite, now
			if err := json.NewEncoder(f).Encode(r); err != nil {
				return err
			}
		}
		rows = append(rows, r)
		if err := writeReport(*report, now, rows); err != nil {
			return err
		}
	}
	return nil
}

// find is the row of a case that was measured like now, without an error.
func find(rows []*row, now setting, c *testCase) *row {
	for _, r := range rows {
		if r.Setting == now && r.Suite == c.suite && r.Model == c.name() && r.Error == "" {
			return r
		}
	}
	return nil
}
