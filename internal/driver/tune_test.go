//go:build linux

package driver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestTune: a tuned model computes what the model computes, and from the same cache it is the same to the bit.
func TestTune(t *testing.T) {
	for _, backend := range []string{"llvm", "goasm"} {
		if _, err := OpenBackend(backend); err != nil {
			t.Log(err)
			continue
		}
		opts := Options{CPU: "native", Backend: backend, Load: onnx.Options{Shapes: map[string][]ir.Dim{"image": {ir.Const(3), ir.Const(1), ir.Const(8), ir.Const(8)}}}}
		tuning := opts
		tuning.Tune = &Tune{Cache: t.TempDir()}
		var texts []string
		var results [][]byte
		for i, o := range []Options{opts, tuning, tuning} {
			c, err := Compile(context.Background(), digits, o)
			require.NoError(t, err)
			defer c.Close()
			if i > 0 {
				require.Empty(t, c.Warnings())
				require.NotEmpty(t, c.Tuned.Decisions)
				for _, d := range c.Tuned.Decisions {
					require.Equal(t, i == 2, d.Cached)
					require.NotZero(t, d.Ops)
				}
			}
			text := ""
			for _, f := range c.Program.Kernels[0] {
				text += f.String()
			}
			l, err := c.Load(context.Background(), exec.Options{Threads: 1})
			require.NoError(t, err)
			defer l.Close()
			texts, results = append(texts, text), append(results, logits(t, l, images(7, 3)))
		}
		require.Equal(t, texts[1], texts[2])
		require.InDeltaSlice(t, tensor.BytesAs[float32](results[0]), tensor.BytesAs[float32](results[1]), 1e-3)
		require.Equal(t, results[1], results[2])
	}
}

func TestTuneTargets(t *testing.T) {
	for _, target := range []string{"darwin/arm64", "windows/amd64"} {
		_, err := Compile(context.Background(), digits, Options{Target: target, Backend: "goasm", Tune: &Tune{Cache: t.TempDir()}})
		require.ErrorIs(t, err, ErrTune)
	}
}
