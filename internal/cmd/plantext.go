package cmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/runtime/plan"
)

// planText prints a plan for people.
type planText struct {
	*bufio.Writer
	p *plan.Plan
}

func dumpPlan(_ context.Context, w io.Writer, c *driver.Compiled) error {
	t := planText{bufio.NewWriter(w), c.Program.Plan}
	p := t.p
	fmt.Fprintf(t, "plan %s: weights %s, arena %s, %d kernels, %d steps\n", p.Name, size(p.WeightsSize), size(p.ArenaSize), len(p.Kernels), len(p.Steps))
	for _, ios := range []struct {
		kind string
		ios  []plan.IO
	}{{"input", p.Inputs}, {"output", p.Outputs}} {
		for i := range ios.ios {
			fmt.Fprintf(t, "%s %d %q %s\n", ios.kind, i, ios.ios[i].Name, ios.ios[i].TypeString())
		}
	}
	fmt.Fprintln(t, "\nsteps")
	for i := range p.Steps {
		t.step(i, &p.Steps[i])
	}
	fmt.Fprintln(t, "\nbuffers")
	for i := range p.Bufs {
		b := &p.Bufs[i]
		at := fmt.Sprint(b.Index)
		switch {
		case b.Kind == plan.BufWeight || (b.Kind == plan.BufArena || b.Kind == plan.BufPart) && p.ArenaSize >= 0:
			at = fmt.Sprint(b.Offset)
		case b.Kind == plan.BufArena || b.Kind == plan.BufHeap:
			at = "?"
		}
		fmt.Fprintf(t, "  b%-4d %-6s at %-10s bytes %-20s steps %d-%d  %s\n", i, bufKinds[b.Kind], at, t.slot(b.Bytes), b.First, b.Last, b.Name)
	}
	t.slots()
	t.arena()
	return t.Flush()
}

var bufKinds = map[plan.BufKind]string{plan.BufArena: "arena", plan.BufWeight: "weight", plan.BufInput: "input", plan.BufOutput: "output", plan.BufPart: "part", plan.BufHeap: "heap"}

var stepKinds = map[plan.StepKind]string{plan.StepKernel: "kernel", plan.StepHost: "host", plan.StepEval: "eval", plan.StepBind: "bind", plan.StepSetSlot: "set",
	plan.StepJump: "jump", plan.StepJumpIf: "unless", plan.StepJumpLt: "while", plan.StepCheck: "check", plan.StepFail: "fail", plan.StepAlloc: "alloc"}

func (t planText) step(i int, s *plan.Step) {
	fmt.Fprintf(t, "  %4d %-6s ", i, stepKinds[s.Kind])
	switch s.Kind {
	case plan.StepKernel:
		fmt.Fprintf(t, "%s(", t.p.Kernels[s.Kernel])
		for j, a := range s.Args {
			if j > 0 {
				t.WriteString(", ")
			}
			switch {
			case a.Kind == plan.ArgSlot:
				t.WriteString(t.slot(a.N))
			case a.Off >= 0:
				fmt.Fprintf(t, "b%d+%s", a.N, t.slot(a.Off))
			default:
				fmt.Fprintf(t, "b%d", a.N)
			}
		}
		fmt.Fprintf(t, ") over")
		for _, n := range s.Par {
			fmt.Fprintf(t, " %s", t.slot(n))
		}
		fmt.Fprintf(t, " by %d", s.Grain)
	case plan.StepHost:
		fmt.Fprintf(t, "%s = %s%s", t.refs(s.Out), s.HostOp, t.refs(s.In))
	case plan.StepJump, plan.StepAlloc:
		fmt.Fprintf(t, "%d", s.A)
	case plan.StepJumpIf:
		fmt.Fprintf(t, "%s: to %d", t.refs(s.In), s.A)
	case plan.StepJumpLt:
		fmt.Fprintf(t, "%s < %s, else to %d", t.slot(s.A), t.slot(s.B), s.Grain)
	case plan.StepBind:
		fmt.Fprintf(t, "s%d = %s[%d]", s.A, t.refs(s.In), s.B)
	case plan.StepSetSlot, plan.StepCheck:
		fmt.Fprintf(t, "s%d, %s", s.A, t.slot(s.B))
	case plan.StepEval:
		fmt.Fprintf(t, "slots from s%d on", s.A)
	}
	fmt.Fprintf(t, "  # %s\n", s.Name)
}

func (t planText) refs(rs []plan.TensorRef) string {
	var parts []string
	for _, r := range rs {
		switch {
		case r.Box >= 0 && r.Buf < 0:
			parts = append(parts, fmt.Sprintf("box%d", r.Box))
		case r.Buf < 0:
			parts = append(parts, "-")
		default:
			var dims []string
			for _, d := range r.Shape {
				dims = append(dims, t.slot(d))
			}
			parts = append(parts, fmt.Sprintf("b%d %v[%s]", r.Buf, r.DType, strings.Join(dims, ",")))
		}
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

var slotSigns = map[plan.SlotOp]string{plan.SlotAdd: "+", plan.SlotMul: "*", plan.SlotDiv: "/", plan.SlotMod: "%"}

// slot is a size as an expression of the inputs' dimensions; a long one refers to the table of sizes.
func (t planText) slot(n plan.Slot) string { return t.expr(n, 3) }

func (t planText) expr(n plan.Slot, depth int) string {
	if n < 0 {
		return "-"
	}
	d := t.p.Slots[n]
	switch d.Op {
	case plan.SlotConst:
		return fmt.Sprint(d.Imm)
	case plan.SlotInput:
		return t.p.Inputs[d.A].Dims[d.B]
	case plan.SlotBound:
		return fmt.Sprintf("s%d", n)
	}
	if depth == 0 {
		return fmt.Sprintf("s%d", n)
	}
	x, y := t.expr(d.A, depth-1), t.expr(d.B, depth-1)
	switch d.Op {
	case plan.SlotMax:
		return fmt.Sprintf("max(%s, %s)", x, y)
	case plan.SlotMin:
		return fmt.Sprintf("min(%s, %s)", x, y)
	}
	return fmt.Sprintf("(%s%s%s)", x, slotSigns[d.Op], y)
}

// slots prints the sizes that are computed.
func (t planText) slots() {
	fmt.Fprintln(t, "\nsizes")
	for i, d := range t.p.Slots {
		switch d.Op {
		case plan.SlotConst, plan.SlotInput:
		case plan.SlotBound:
			fmt.Fprintf(t, "  s%d is bound by a step\n", i)
		default:
			fmt.Fprintf(t, "  s%d = %s\n", i, t.expr(plan.Slot(i), 1))
		}
	}
}

// mapWidth is the number of columns of the arena map.
const mapWidth = 64

// arena draws which part of the arena is in use at each step that runs something.
func (t planText) arena() {
	if t.p.ArenaSize <= 0 {
		return
	}
	fmt.Fprintf(t, "\narena of %d bytes, %d to a column\n", t.p.ArenaSize, (t.p.ArenaSize+mapWidth-1)/mapWidth)
	for i := range t.p.Steps {
		if k := t.p.Steps[i].Kind; k != plan.StepKernel && k != plan.StepHost {
			continue
		}
		row := []byte(strings.Repeat(".", mapWidth))
		for j := range t.p.Bufs {
			b := &t.p.Bufs[j]
			n := t.p.Slots[b.Bytes].Imm
			if b.Kind != plan.BufArena || int32(i) < b.First || int32(i) > b.Last || n <= 0 {
				continue
			}
			for c := b.Offset * mapWidth / t.p.ArenaSize; c <= (b.Offset+n-1)*mapWidth/t.p.ArenaSize && c < mapWidth; c++ {
				row[c] = "abcdefghijklmnopqrstuvwxyz"[j%26]
			}
		}
		fmt.Fprintf(t, "  %4d |%s|\n", i, row)
	}
}
