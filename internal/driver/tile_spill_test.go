package driver

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/ir"
)

// tiled are kernels around register tiles, the last two with more to do behind the tile than there are registers for.
var tiled = map[string]string{
	"gemm":         "graph (%x: f32[60,256], %w: f32[256,64]) -> (%y) {\n  %y = MatMul(%x, %w)\n}",
	"gemm dynamic": "graph (%x: f32[N,256], %w: f32[256,64]) -> (%y) {\n  %y = MatMul(%x, %w)\n}",
	"gemm gelu":    "graph (%x: f32[N,256], %w: f32[256,64]) -> (%y) {\n  %a = MatMul(%x, %w)\n  %y = Gelu(%a)\n}",
	"conv":         "graph (%x: f32[1,64,28,28], %w: f32[64,64,3,3]) -> (%y) {\n  %a = Conv(%x, %w) {pads = [1, 1, 1, 1]}\n  %y = Sigmoid(%a)\n}",
}

// TestTilesStayInRegisters holds that no vector is loaded or stored for want of registers in an inner loop with a tile's
// accumulators.
func TestTilesStayInRegisters(t *testing.T) {
	for name, graph := range tiled {
		for _, level := range []string{"amd64/avx2", "amd64/avx512", "arm64/neon"} {
			t.Run(level+"/"+name, func(t *testing.T) {
				m, err := ir.Parse("module \"m\"\n" + graph + "\n")
				require.NoError(t, err)
				arch, cpu, _ := strings.Cut(level, "/")
				ctx := context.Background()
				c, err := CompileModule(ctx, m, Options{Target: "linux/" + arch, CPU: cpu, Backend: "goasm"})
				require.NoError(t, err)
				defer c.Close()
				files, err := c.Generate(ctx, "linux", backend.Assembly)
				require.NoError(t, err)
				loops := innerLoops(string(files[0].Data))
				n := 0
				for _, l := range loops {
					if strings.Count(l, "FMADD")+strings.Count(l, "fmla") < 8 {
						continue
					}
					n++
					for _, line := range strings.Split(l, "\n") {
						spilled := strings.HasSuffix(line, "// spill") || strings.HasSuffix(line, "// reload")
						assert.False(t, spilled && (strings.HasPrefix(line, "\tV") || strings.HasPrefix(line, "\tFMOV")), "%s\n\tin\n%s", line, l)
					}
				}
				require.NotZero(t, n, "no loop with a tile")
			})
		}
	}
}

// innerLoops cuts the innermost loops out of assembly: from a label that says "for" to the jump back to it.
func innerLoops(asm string) (loops []string) {
	lines := strings.Split(asm, "\n")
	start, label := -1, ""
	for i, l := range lines {
		if name, comment, ok := strings.Cut(l, ":"); ok && strings.HasPrefix(comment, " // for") {
			start, label = i, name
		}
		if start >= 0 && strings.HasSuffix(l, fmt.Sprintf("\t%s", label)) {
			loops = append(loops, strings.Join(lines[start:i+1], "\n"))
			start = -1
		}
	}
	return loops
}
