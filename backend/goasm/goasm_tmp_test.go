package goasm

import (
	"os"
	"testing"
	"time"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

func TestTmp(t *testing.T) {
	src, _ := os.ReadFile(os.Getenv("LOOPFILE"))
	fs, err := loop.Parse(string(src))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range target.Archs[0].Levels {
		if l.Name == os.Getenv("LEVEL") {
			start := time.Now()
			for _, f := range fs {
				st := time.Now()
				_, err := Assembly(&target.Target{OS: "linux", Arch: target.Archs[0]}, backend.Kernels{Level: l, Funcs: []*loop.Func{f}})
				if err != nil {
					t.Error(err)
				}
				if d := time.Since(st); d > 100*time.Millisecond {
					t.Log(f.Name, d)
				}
			}
			b, err := Assembly(&target.Target{OS: "linux", Arch: target.Archs[0]}, backend.Kernels{Level: l, Funcs: fs})
			t.Log(err, time.Since(start), len(b))
			os.WriteFile("/tmp/w/lead/k_amd64.s", b, 0o666)
		}
	}
}
