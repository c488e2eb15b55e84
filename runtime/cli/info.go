package cli

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/plan"
)

// value is an input or output as info -json prints it.
type value struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	DType    string   `json:"dtype"`
	Dims     []string `json:"dims"`
	Optional bool     `json:"optional,omitempty"`
}

func valuesOf(ios []plan.IO) []value {
	vs := []value{}
	for i := range ios {
		io := &ios[i]
		v := value{Name: io.Name, Type: io.TypeString(), DType: io.DType.String(), Dims: append([]string{}, io.Dims...), Optional: !required(io)}
		vs = append(vs, v)
	}
	return vs
}

// about is what info prints.
type about struct {
	Model    string   `json:"model"`
	Inputs   []value  `json:"inputs"`
	Outputs  []value  `json:"outputs"`
	Platform string   `json:"platform"`
	Levels   []string `json:"levels"`
	Level    string   `json:"level"` // the one in use
	Steps    int      `json:"steps"`
	Kernels  int      `json:"kernels"`
	HostOps  []string `json:"host_ops"`
	Arena    int64    `json:"arena_bytes"` // -1: depends on input shapes
	Weights  int64    `json:"weights_bytes"`
	Version  string   `json:"nnc_version"`
	Go       string   `json:"go_version"`
	Verified bool     `json:"verified,omitempty"`
	Problem  string   `json:"problem,omitempty"` // why the model cannot run here
}

func (a *app) info() error {
	p := a.Plan
	d := about{
		Model: p.Name, Inputs: valuesOf(p.Inputs), Outputs: valuesOf(p.Outputs), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Levels: []string{}, Steps: len(p.Steps), Kernels: len(p.Kernels), HostOps: append([]string{}, a.HostOps...),
		Arena: p.ArenaSize, Weights: p.WeightsSize, Version: a.Version, Go: runtime.Version(),
	}
	for _, l := range a.Levels {
		d.Levels = append(d.Levels, l.Name)
	}
	if err := a.loadWeights(); err != nil {
		return err
	}
	if a.verify {
		if err := a.weights.Verify(); err != nil {
			return err
		}
		d.Verified = true
	}
	if m, err := exec.New(p, a.Levels, a.weights.Bytes, a.options()); err != nil {
		d.Problem = err.Error()
	} else {
		d.Level = m.Level()
		m.Close()
	}
	if a.json {
		b, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.out, "%s\n", b)
		return err
	}
	return a.printInfo(&d)
}

func (a *app) printInfo(d *about) error {
	arena := fmt.Sprintf("%d bytes", d.Arena)
	if d.Arena < 0 {
		arena = "depends on the input shapes"
	}
	_, err := fmt.Fprintf(a.out, "model    %s\ninputs\n%soutputs\n%splatform %s\nlevels   %v, in use: %s\nsteps    %d (%d kernels)\narena    %s\nweights  %d bytes%s\nbuilt by nnc %s, %s\n",
		d.Model, a.types(a.Plan.Inputs), a.types(a.Plan.Outputs), d.Platform, d.Levels, d.Level, d.Steps, d.Kernels, arena, d.Weights,
		map[bool]string{true: ", checksum verified"}[d.Verified], d.Version, d.Go)
	for _, h := range d.HostOps {
		fmt.Fprintf(a.out, "host op  %s\n", h)
	}
	if d.Problem != "" {
		fmt.Fprintf(a.errOut, "warning: cannot run here: %s\n", d.Problem)
	}
	return err
}
