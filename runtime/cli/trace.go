package cli

import (
	"encoding/json"
	"fmt"

	"github.com/nnc-go/nnc/runtime/tensorio"
)

// traceEvent is an event of the Trace Event Format, which Chrome and Perfetto read. Times are in microseconds.
type traceEvent struct {
	Name  string         `json:"name"`
	Kind  string         `json:"cat,omitempty"`
	Phase string         `json:"ph"` // X: has a start and a length; M: about a thread
	Start float64        `json:"ts"`
	Time  float64        `json:"dur"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	Args  map[string]any `json:"args,omitempty"`
}

// writeTrace writes the steps of one run.
func (p *profile) writeTrace(path string, run []event) error {
	about := func(what, name string) traceEvent {
		return traceEvent{Name: what, Phase: "M", PID: 1, TID: 1, Args: map[string]any{"name": name}}
	}
	events := []traceEvent{about("process_name", p.Model), about("thread_name", fmt.Sprintf("steps, on %d threads", p.Threads))}
	steps := map[int]*portion{}
	for i := range p.Steps {
		steps[p.Steps[i].Step] = &p.Steps[i]
	}
	for _, e := range run {
		s := steps[e.step]
		events = append(events, traceEvent{
			Name: s.Op, Kind: "step", Phase: "X", Start: 1e3 * ms(e.start), Time: 1e3 * ms(e.time), PID: 1, TID: 1,
			Args: map[string]any{
				"step": e.step, "node": s.Node, "flops": e.flops, "bytes": e.bytes,
				"GFLOP/s": quotient(float64(e.flops), float64(e.time)), "GB/s": quotient(float64(e.bytes), float64(e.time)),
			},
		})
	}
	b, err := json.Marshal(map[string]any{"traceEvents": events, "displayTimeUnit": "ns"})
	if err == nil {
		err = tensorio.WriteAtomic(path, b)
	}
	if err != nil {
		return fmt.Errorf("-trace: %w", err)
	}
	return nil
}
