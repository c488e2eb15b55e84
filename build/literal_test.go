package build

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/stretchr/testify/require"
)

// TestLiteral compiles a plan's literal and has the program print it as a literal again.
func TestLiteral(t *testing.T) {
	p := tinyPlan()
	p.Steps = append(p.Steps, plan.Step{Kind: plan.StepHost, Host: func(*hostop.Call) error { return nil }, HostOp: "Odd", Name: "a \"q\"",
		In: []plan.TensorRef{{Buf: 0, Box: -1, DType: tensor.F32, Shape: []int32{0, 1}}},
		Attrs: hostop.Attrs{"i": int64(-3), "f": 1e-7, "inf": inf(), "s": "x\n", "is": []int64{1, 2}, "fs": []float64{0.5, inf()}, "ss": []string{"a"}, "none": []int64{}, "d": tensor.I8,
			"t": &tensor.Tensor{DType: tensor.U8, Shape: []int64{2}, Data: []byte{1, 2}}},
		Fresh: [][]int32{nil, {-1, 2}}})
	lit, err := PlanLiteral("main", "", runtimePath, p, func(string) string { return "Errorf" })
	require.NoError(t, err)
	// The real op table is not needed: any name of the package that does not fit the type is replaced.
	lit = bytes.Replace(lit, []byte("Host: hostop.Errorf"), []byte("Host: hostop.Func(odd)"), 1)
	main := `package main

import (
	"fmt"
	"os"

	"github.com/nnc-go/nnc/build"
	"github.com/nnc-go/nnc/runtime/hostop"
)

func odd(*hostop.Call) error { return nil }

func main() {
	b, err := build.PlanLiteral("main", "", "` + runtimePath + `", &thePlan, func(string) string { return "Errorf" })
	if err != nil {
		fmt.Println(err)
	}
	os.Stdout.Write(b)
}
`
	// Inside this module, for its packages; the name keeps ./... from seeing it.
	dir, err := os.MkdirTemp(".", "_literal")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(main), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "zplan.go"), lit, 0o600))
	out := command(t, ".", "go", "run", "./"+dir)
	out = string(bytes.Replace([]byte(out), []byte("Host: hostop.Errorf"), []byte("Host: hostop.Func(odd)"), 1))
	require.Equal(t, string(lit), out)
}

func inf() float64 { return math.Inf(1) }

// TestEnumNames holds the names against the enumerations: one more of either would be noticed.
func TestEnumNames(t *testing.T) {
	for typ, want := range map[reflect.Type]int{
		reflect.TypeFor[plan.SlotOp](): int(plan.SlotMin) + 1, reflect.TypeFor[plan.BufKind](): int(plan.BufHeap) + 1,
		reflect.TypeFor[plan.ArgKind](): int(plan.ArgSlot) + 1, reflect.TypeFor[plan.StepKind](): int(plan.StepAlloc) + 1,
	} {
		require.Len(t, enumNames[typ], want)
	}
}
