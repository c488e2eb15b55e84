package mach

import (
	"fmt"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// toy is a machine with few registers and instructions that a test can run: SET, MOVE, ADD, OUT, LOAD, STORE,
// DEC and JNZ.
func toy(regs int) *Machine {
	m := &Machine{SP: "SP", Word: "WORD", Name: func(p Phys, _ Class, _ uint8) string { return fmt.Sprintf("R%d", p) }}
	for p := range regs {
		m.Regs[GPR] = append(m.Regs[GPR], Phys(p))
		m.Regs[Vec] = append(m.Regs[Vec], Phys(p))
	}
	m.Load = func(_ Class, _ int, dst Reg, at Arg) *Inst { return &Inst{Op: "LOAD", Args: []Arg{at, W(dst, 0)}} }
	m.Store = func(_ Class, _ int, src Reg, at Arg) *Inst {
		return &Inst{Op: "STORE", Args: []Arg{R(src, 0), at}}
	}
	m.Fold = func(in *Inst, i, _ int) bool { return in.Op == "ADD" && i == 0 }
	return m
}

// place is where a register of a class is: by virtual or by machine number.
type place struct {
	class Class
	n     int
}

// run executes f; name says where a register is. It gives what OUT has seen.
func run(t *testing.T, f *Func, name func(r Reg) place) (out []int64) {
	regs, mem := map[place]int64{}, map[string]int64{}
	at := map[int64]int{}
	for i, in := range f.Insts {
		if in.Flow == Mark {
			at[in.Args[0].Imm] = i
		}
	}
	cell := func(a Arg) string { // the scratch memory's address must be in its register when it is used
		if a.Kind == KMem {
			require.Equal(t, int64(scratchAt), regs[name(a.Reg)], "base of scratch memory")
			return fmt.Sprintf("scratch%d", a.Imm)
		}
		return a.Sym
	}
	value := func(a Arg) int64 {
		switch a.Kind {
		case KReg:
			return regs[name(a.Reg)]
		case KImm:
			return a.Imm
		}
		if n, err := strconv.ParseInt(a.Sym, 10, 64); err == nil {
			return n
		}
		return mem[cell(a)]
	}
	for pc, steps := 0, 0; pc < len(f.Insts); pc++ {
		if steps++; steps > 200_000 {
			t.Fatal("does not end")
		}
		in := f.Insts[pc]
		a := in.Args
		switch in.Op {
		case "SET", "MOVE", "LOAD":
			regs[name(a[1].Reg)] = value(a[0])
		case "ADD":
			regs[name(a[1].Reg)] = 3*regs[name(a[1].Reg)] + value(a[0])
		case "STORE":
			mem[cell(a[1])] = value(a[0])
		case "OUT":
			out = append(out, value(a[0]))
		case "DEC":
			regs[name(a[0].Reg)]--
		case "JNZ":
			if value(a[0]) > 0 {
				pc = at[a[1].Imm]
			}
		case "JZ":
			if value(a[0]) <= 0 {
				pc = at[a[1].Imm]
			}
		}
	}
	return out
}

const scratchAt = 4711

// random makes a function of nested loops over a pool of registers of two classes.
func random(rnd *rand.Rand) *Func {
	f := NewFunc("f")
	f.Scratch = f.New(GPR, 8)
	f.Add(&Inst{Op: "SET", Args: []Arg{Text(strconv.Itoa(scratchAt)), W(f.Scratch, 0)}, Remat: true})
	var live []Reg
	fresh := func() Reg { return f.New([]Class{GPR, Vec}[rnd.Intn(2)], 8) }
	konst := func() {
		r := fresh()
		f.Add(&Inst{Op: "SET", Args: []Arg{Text(strconv.Itoa(rnd.Intn(100))), W(r, 0)}, Remat: rnd.Intn(2) == 0})
		live = append(live, r)
	}
	pick := func(c Class) Reg {
		for range 50 {
			if r := live[rnd.Intn(len(live))]; f.Class(r) == c {
				return r
			}
		}
		r := f.New(c, 8)
		f.Emit("SET", Text("7"), W(r, 0))
		return r
	}
	for range 4 + rnd.Intn(8) {
		konst()
	}
	var body func(n, depth int)
	body = func(n, depth int) {
		for range n {
			switch k := rnd.Intn(12); {
			case k < 5:
				src := pick(GPR)
				r := f.New(GPR, 8)
				f.Add(&Inst{Op: "MOVE", Args: []Arg{R(src, 0), W(r, 0)}, Move: true})
				f.Emit("ADD", R(pick(GPR), 0), RW(r, 0))
				live = append(live, r)
			case k < 8:
				src := pick(Vec)
				r := f.New(Vec, 8)
				f.Add(&Inst{Op: "MOVE", Args: []Arg{R(src, 0), W(r, 0)}, Move: true})
				f.Emit("ADD", R(pick(Vec), 0), RW(r, 0))
				live = append(live, r)
			case k < 9:
				f.Emit("OUT", R(live[rnd.Intn(len(live))], 0))
			case k < 10:
				konst()
			case depth < 3:
				loop(f, rnd, &live, func() { body(3+rnd.Intn(6), depth+1) })
			}
		}
	}
	body(12+rnd.Intn(12), 0)
	for _, r := range live {
		f.Emit("OUT", R(r, 0))
	}
	return f
}

// loop writes a loop that carries a register, which what runs in it may read; it may run no time.
func loop(f *Func, rnd *rand.Rand, live *[]Reg, body func()) {
	carried, n := f.New(Vec, 8), f.New(GPR, 8)
	f.Emit("SET", Text("5"), W(carried, 0))
	f.Emit("SET", Text(strconv.Itoa(rnd.Intn(4))), W(n, 0))
	top, end := f.NewLabel(), f.NewLabel()
	f.Add(&Inst{Op: "JZ", Flow: Branch, Args: []Arg{R(n, 0), Label(end)}})
	f.Depth++
	f.Place(top)
	outer := len(*live)
	*live = append(*live, carried)
	body()
	next := (*live)[len(*live)-1]
	if f.Class(next) == Vec && next != carried {
		f.Add(&Inst{Op: "MOVE", Args: []Arg{R(next, 0), W(carried, 0)}, Move: true})
	}
	f.Emit("DEC", RW(n, 0))
	f.Add(&Inst{Op: "JNZ", Flow: Branch, Args: []Arg{R(n, 0), Label(top)}})
	f.Depth--
	f.Place(end)
	*live = append((*live)[:outer], carried)
}

// TestAllocate runs random functions on virtual registers and, allocated, on those of machines with few.
func TestAllocate(t *testing.T) {
	for seed := range int64(150) {
		for _, regs := range []int{3, 5, 14} {
			f := random(rand.New(rand.NewSource(seed)))
			want := run(t, f, func(r Reg) place { return place{0, int(r)} })
			phys, err := Allocate(f, toy(regs))
			require.NoError(t, err, "seed %d, %d registers", seed, regs)
			got := run(t, f, func(r Reg) place { return place{f.Class(r), int(phys[r])} })
			require.Equal(t, want, got, "seed %d, %d registers", seed, regs)
		}
	}
}

// TestAccumulators holds that what a loop carries stays in registers though more values than there are
// registers live around it.
func TestAccumulators(t *testing.T) {
	f := NewFunc("f")
	f.Scratch = f.New(GPR, 8)
	f.Add(&Inst{Op: "SET", Args: []Arg{Text("4711"), W(f.Scratch, 0)}, Remat: true})
	var around, acc []Reg
	for i := range 8 {
		r := f.New(Vec, 8)
		f.Emit("SET", Text(strconv.Itoa(i)), W(r, 0))
		around = append(around, r)
	}
	for range 4 {
		r := f.New(Vec, 8)
		f.Emit("SET", Text("0"), W(r, 0))
		acc = append(acc, r)
	}
	n, top := f.New(GPR, 8), f.NewLabel()
	f.Emit("SET", Text("9"), W(n, 0))
	f.Depth++
	f.Place(top)
	for _, r := range acc {
		f.Emit("ADD", R(acc[0], 0), RW(r, 0))
	}
	f.Emit("DEC", RW(n, 0))
	f.Add(&Inst{Op: "JNZ", Flow: Branch, Args: []Arg{R(n, 0), Label(top)}})
	f.Depth--
	for _, r := range slices.Concat(around, acc) {
		f.Emit("OUT", R(r, 0))
	}
	_, err := Allocate(f, toy(5))
	require.NoError(t, err)
	for _, in := range f.Insts {
		require.False(t, in.Depth > 0 && (in.Op == "LOAD" || in.Op == "STORE"), "a %s in the loop", in.Op)
	}
}

// TestPrint holds the form of a function's text.
func TestPrint(t *testing.T) {
	f := NewFunc("f")
	a, b := f.New(GPR, 8), f.New(GPR, 8)
	f.Emit("SET", Imm(3), W(a, 0))
	f.Emit("ADD", MemX(a, a, 4, -8), W(b, 0))
	f.Add(&Inst{Op: "NEW", Args: []Arg{R(a, 0), W(b, 0)}, Encode: func(r []Phys) []uint32 { return []uint32{uint32(0x100 + int(r[0])<<4 + int(r[1]))} }})
	m := toy(4)
	phys, err := Allocate(f, m)
	require.NoError(t, err)
	var s strings.Builder
	Print(&s, f, m, phys, "f: Conv c1", 32)
	require.Equal(t, `// f: Conv c1
TEXT ·f(SB), NOSPLIT, $0-32
	SET	$3, R0
	ADD	-8(R0)(R0*4), R1
	WORD	$0x101 // NEW R0, R1

`, s.String())
}
