package driver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// write makes the files of a product that is not a program: one file is the output itself, of several
// each has its name between the output's and the extension.
func (b *making) write(files []backend.File) error {
	out := b.out(b.c.Name, "")
	for _, f := range files {
		path := out
		if len(files) > 1 {
			ext := filepath.Ext(out)
			path = strings.TrimSuffix(out, ext) + "_" + f.Name + ext
		}
		if err := tensorio.WriteAtomic(path, f.Data); err != nil {
			return err
		}
		b.p.Paths = append(b.p.Paths, path)
	}
	return nil
}

func makeCode(form backend.Form) func(context.Context, *making) error {
	return func(ctx context.Context, b *making) error {
		files, err := b.c.Generate(ctx, b.c.Target.OS, form)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("model %s has no kernels: all its steps are host functions", b.c.Name)
		}
		return b.write(files)
	}
}

func makeLoop(_ context.Context, b *making) error {
	var files []backend.File
	for _, k := range b.c.Kernels() {
		var t bytes.Buffer
		for _, f := range k.Funcs {
			if err := loop.Print(&t, f); err != nil {
				return err
			}
		}
		files = append(files, backend.File{Name: k.Level.Name, Data: t.Bytes()})
	}
	return b.write(files)
}

func makeIR(_ context.Context, b *making) error {
	return b.write([]backend.File{{Name: "ir", Data: []byte(ir.Print(b.c.Module))}})
}

// sameWeights holds that the weights of two architectures are the same bytes, since a Go package has
// them once.
func sameWeights(x, y *Compiled) error {
	rx, err := x.Weights()
	if err != nil {
		return err
	}
	ry, err := y.Weights()
	if err != nil {
		return err
	}
	same := rx.Size() == ry.Size()
	bx, by := bufio.NewReaderSize(rx, 1<<20), bufio.NewReaderSize(ry, 1<<20)
	p, q := make([]byte, 1<<16), make([]byte, 1<<16)
	for same {
		n, err := io.ReadFull(bx, p)
		m, _ := io.ReadFull(by, q)
		same = bytes.Equal(p[:n], q[:m])
		if err != nil {
			break
		}
	}
	if same {
		return nil
	}
	return fmt.Errorf("weights are packed differently for %s and %s; make a package for each with -target", x.Target.Arch.Name, y.Target.Arch.Name)
}
