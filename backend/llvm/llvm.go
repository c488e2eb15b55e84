// Package llvm renders kernels as LLVM IR, through llir, and has opt and llc compile them.
package llvm

import (
	"context"
	"errors"
	"fmt"

	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/target"
)

// passes is what opt does. Kernels come vectorised and unrolled, so what is left is cleaning up:
// inlining the body into the entry, index arithmetic out of loops, common subexpressions.
const passes = "always-inline,globaldce,function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),gvn,instcombine<no-verify-fixpoint>,loop-mssa(licm),loop(indvars),adce,simplifycfg)"

// LLVM is the backend.
type LLVM struct{ tools *Tools }

// New finds the tools. Errors: ErrNotFound.
func New() (*LLVM, error) {
	t, err := FindTools()
	if err != nil {
		return nil, err
	}
	return &LLVM{t}, nil
}

// Name is "llvm".
func (*LLVM) Name() string { return "llvm" }

// Form is backend.Object.
func (*LLVM) Form() backend.Form { return backend.Object }

// Has reports whether a level is one of a processor.
func (*LLVM) Has(l *target.Level) bool { return l != target.Portable.Levels[0] }

// Version is the version of the tools.
func (l *LLVM) Version() string { return l.tools.Version }

// partFuncs is how many kernels are compiled at once: small enough to keep all cores busy. Of very many kernels there
// are maxParts parts, since starting the tools costs as much as three kernels do.
const partFuncs, maxParts = 12, 16

// Generate implements backend.Backend. A level's kernels are split over several files.
func (l *LLVM) Generate(ctx context.Context, t *target.Target, ks []backend.Kernels, form backend.Form) ([]backend.File, error) {
	if form == backend.GoAssembly {
		return nil, errors.New("llvm: no Go assembly; use -backend=goasm")
	}
	var parts []backend.Kernels
	var files []backend.File
	for _, k := range ks {
		size := max(partFuncs, (len(k.Funcs)+maxParts-1)/maxParts)
		for i := 0; i < len(k.Funcs); i += size {
			name := k.Level.Name
			if len(k.Funcs) > size {
				name = fmt.Sprintf("%s_%02d", name, i/size)
			}
			parts = append(parts, backend.Kernels{Level: k.Level, Funcs: k.Funcs[i:min(i+size, len(k.Funcs))]})
			files = append(files, backend.File{Name: name})
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range parts {
		g.Go(func() (err error) {
			files[i].Data, err = l.compile(ctx, t, p, form)
			return err
		})
	}
	return files, g.Wait()
}

func (l *LLVM) compile(ctx context.Context, t *target.Target, ks backend.Kernels, form backend.Form) ([]byte, error) {
	src := []byte(render(t, ks))
	if form == backend.Source {
		return src, nil
	}
	bc, err := runTool(ctx, src, l.tools.Opt, "-passes="+passes, "-o", "-", "-")
	if err != nil {
		return nil, err
	}
	args := []string{"-O3", "-relocation-model=pic", "-filetype=obj", "-o", "-", "-"}
	if form == backend.Assembly {
		args[2] = "-filetype=asm"
	}
	out, err := runTool(ctx, bc, l.tools.LLC, args...)
	if err != nil || form == backend.Assembly {
		return out, err
	}
	return out, checkObject(t.OS, out)
}
