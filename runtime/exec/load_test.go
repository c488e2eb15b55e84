package exec_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// goKernels are kernels whose accesses the race detector sees, which those in assembly hide from it. Each reads
// what other iterations of the one before have written. The words of args are two buffers and their length.
var goKernels = []func(from, to []float32, i int64){
	func(from, to []float32, i int64) { to[i] = 2*from[i] + 1 },
	func(from, to []float32, i int64) { to[i] = from[int64(len(from))-1-i] - from[i] },
	func(from, to []float32, i int64) { to[i] = from[i*7%int64(len(from))] * from[i] },
}

func callGoKernel(fn uintptr, args *int64, lo, hi int64) {
	n := *(*int64)(unsafe.Add(unsafe.Pointer(args), 16))
	buf := func(i int) []float32 {
		return unsafe.Slice(*(**float32)(unsafe.Add(unsafe.Pointer(args), 8*i)), n)
	}
	from, to := buf(0), buf(1)
	for i := lo; i < hi; i++ {
		goKernels[fn-1](from, to, i)
	}
}

// chain is a plan of rounds times goKernels on f32[N], between two buffers of the arena.
func chain(rounds int) *plan.Plan {
	p := &plan.Plan{
		Name: "chain", Kernels: []string{"twice", "mirror", "seventh"}, ArenaSize: -1,
		Slots:   []plan.SlotDef{{Op: plan.SlotInput}, {Op: plan.SlotConst, Imm: 4}, {Op: plan.SlotMul, A: 0, B: 1}},
		Inputs:  []plan.IO{{Name: "x", DType: tensor.F32, Shape: []plan.Slot{0}, Dims: []string{"N"}, Default: -1}},
		Outputs: []plan.IO{{Name: "y", DType: tensor.F32, Shape: []plan.Slot{0}, Dims: []string{"N"}, Default: -1}},
	}
	steps := int32(rounds * len(goKernels))
	p.Bufs = []plan.Buf{{Kind: plan.BufInput, Bytes: 2}, {Kind: plan.BufOutput, Bytes: 2}, {Bytes: 2}, {Bytes: 2}}
	for i := range p.Bufs {
		p.Bufs[i].Last = steps - 1
	}
	for k := range steps {
		from, to := 2+k%2, 2+(k+1)%2
		if k == 0 {
			from = 0
		}
		if k == steps-1 {
			to = 1
		}
		p.Steps = append(p.Steps, plan.Step{
			Kind: plan.StepKernel, Name: "step", Kernel: k % int32(len(goKernels)), Par: []plan.Slot{0}, Grain: 8, Flops: -1, MemBytes: -1,
			Args: []plan.Arg{{Kind: plan.ArgBuf, N: from, Off: -1}, {Kind: plan.ArgBuf, N: to, Off: -1}, {Kind: plan.ArgSlot, N: 0}},
		})
	}
	return p
}

// TestGoKernels holds concurrent runs of different sizes on a few workers against serial ones.
func TestGoKernels(t *testing.T) {
	load := func(threads int) *exec.Model {
		m, err := exec.New(chain(5), []exec.Level{{Name: "go", Kernels: []uintptr{1, 2, 3}, Enter: callGoKernel}}, nil, exec.Options{Threads: threads})
		require.NoError(t, err)
		t.Cleanup(m.Close)
		return m
	}
	one, many := load(1), load(4)
	var wg sync.WaitGroup
	for k := range 16 {
		rng := rand.New(rand.NewPCG(uint64(k), 1))
		x := make([]float32, 1+rng.IntN(2000))
		for i := range x {
			x[i] = rng.Float32() - 0.5
		}
		in := []hostop.Value{tensor.Of(x, int64(len(x)))}
		want := make([]hostop.Value, 1)
		require.NoError(t, one.Run(context.Background(), in, want))
		wg.Go(func() {
			got := make([]hostop.Value, 1)
			for range 50 {
				if err := many.Run(context.Background(), in, got); err != nil {
					t.Error(err)
					return
				}
				if g, w := got[0].(*tensor.Tensor), want[0].(*tensor.Tensor); string(g.Data) != string(w.Data) {
					t.Errorf("%d elements: the results of one thread and four differ", len(x))
					return
				}
			}
		})
	}
	wg.Wait()
}
