package build

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
)

// linkage is how a product's Go code finds the addresses of its kernels.
type linkage struct {
	levels    string // template of the Go side
	tables    func(c *code, files map[string][]byte)
	otherwise string // what to do about a processor that Go assembly is no use for
}

const needsLLVM = "compile the model with -backend=llvm, which has code for older processors"

var (
	// staticLinkage refers to the .syso files from Go assembly. Only Go's own linker resolves that.
	staticLinkage = linkage{"kernels.go", func(c *code, files map[string][]byte) {
		files["zkernels_"+c.arch+".s"] = c.table(c.systems(), symbolAddress)
	}, needsLLVM}
	// cLinkage refers to them from C, for packages with cgo, which cannot have Go assembly.
	cLinkage = linkage{"kernelsc.go", func(c *code, files map[string][]byte) {
		files["zkernels_"+c.arch+".c"] = c.cTable()
	}, needsLLVM}
	// anyLinkage is for packages that end up in programs of all kinds. Where cgo is off it is
	// staticLinkage. A program with cgo in it (or the race detector) is linked by the C compiler, and for
	// that Go assembly cannot refer to other objects: there the same code is in the assembly.
	anyLinkage = linkage{"kernels.go", func(c *code, files map[string][]byte) {
		files["zkernels_"+c.arch+".s"] = c.table("!cgo && "+c.systems(), symbolAddress)
		t := c.table("cgo && "+c.systems(), func(p place) string {
			return fmt.Sprintf("blob%d<>+%d(SB)", p.blob, p.off)
		})
		for i := range c.blobs {
			t = append(t, c.text(i)...)
		}
		files["zkernels_cgo_"+c.arch+".s"] = t
	}, "build the program with -tags purego"}
)

func symbolAddress(p place) string { return p.name + "(SB)" }

// code is the machine code for an architecture.
type code struct {
	*Arch
	arch  string
	names []string // of the blobs' files
	blobs []*blob
	syms  map[string]place // by Symbol
}

// place is where a kernel is: the name of its symbol in the product, its blob and its offset there.
type place struct {
	name string
	blob int
	off  uint64
}

// newCode resolves the objects of a; symbols begin with prefix instead of "nnc_".
func newCode(a *Arch, prefix string) (*code, error) {
	c := &code{Arch: a, arch: a.Target.Arch.Name, syms: map[string]place{}}
	for _, o := range a.Objects {
		b, err := newBlob(o.Data)
		if err != nil {
			return nil, err
		}
		for i, s := range b.syms {
			b.syms[i].name = prefix + cmp.Or(o.Funcs[s.name], strings.TrimPrefix(s.name, "nnc_"))
			c.syms[s.name] = place{b.syms[i].name, len(c.blobs), s.off}
		}
		c.names, c.blobs = append(c.names, o.Name), append(c.blobs, b)
	}
	for _, l := range a.Target.Levels {
		for _, k := range a.Plan.Kernels {
			if _, ok := c.syms[Symbol(k, l.Name)]; !ok {
				return nil, fmt.Errorf("build: no code for kernel %s of level %s", k, l.Name)
			}
		}
	}
	return c, nil
}

// systems is a build constraint for the operating systems.
func (c *code) systems() string { return "(" + strings.Join(c.Systems, " || ") + ")" }

// objects adds the .syso files for an operating system to files.
func (c *code) objects(system string, files map[string][]byte) (err error) {
	for i, b := range c.blobs {
		if files["kernels_"+c.names[i]+"_"+system+"_"+c.arch+".syso"], err = b.wrap(system); err != nil {
			return err
		}
	}
	return nil
}

// each calls f for all kernels, level by level, in the plan's order.
func (c *code) each(f func(i int, p place)) {
	for i, l := range c.Target.Levels {
		for j, k := range c.Plan.Kernels {
			f(i*len(c.Plan.Kernels)+j, c.syms[Symbol(k, l.Name)])
		}
	}
}

// table is the table of all kernels.
func (c *code) table(constraint string, address func(p place) string) []byte {
	var addresses []string
	c.each(func(_ int, p place) { addresses = append(addresses, address(p)) })
	return kernelTable(c.arch, constrained(constraint), addresses)
}

// goAssembly adds the kernels of a in Go assembly.
func (p *parts) goAssembly(a *Arch, data map[string]any) error {
	arch := a.Target.Arch.Name
	funcs := map[string]string{}
	for _, o := range a.Objects {
		p.files[o.Name+"_"+arch+".s"] = o.Data
		maps.Copy(funcs, o.Funcs)
	}
	var names []string
	for _, l := range a.Target.Levels {
		for _, k := range a.Plan.Kernels {
			f := funcs[Symbol(k, l.Name)]
			if f == "" {
				return fmt.Errorf("build: no code for kernel %s of level %s", k, l.Name)
			}
			names = append(names, f)
		}
	}
	data["Functions"], data["Else"] = names, p.link.otherwise
	p.files["zkernels_"+arch+".s"] = GoTable(arch, constrained(p.tag), names)
	var err error
	p.files["kernels_"+arch+".go"], err = tmpl("kernels.go", data)
	return err
}

// GoTable is the table of kernels that are functions in Go assembly of the same package; constraint is a line
// with a build constraint or empty.
func GoTable(arch, constraint string, kernels []string) []byte {
	var addresses []string
	for _, k := range kernels {
		addresses = append(addresses, "·"+k+"(SB)")
	}
	return kernelTable(arch, constraint, addresses)
}

// kernelTable is assembly that holds addresses and a Go-callable function that says where they are.
func kernelTable(arch, constraint string, addresses []string) []byte {
	var b bytes.Buffer
	b.WriteString(generated + constraint + "#include \"textflag.h\"\n\n")
	for i, a := range addresses {
		fmt.Fprintf(&b, "DATA kernels<>+%d(SB)/8, $%s\n", 8*i, a)
	}
	fmt.Fprintf(&b, "GLOBL kernels<>(SB), NOPTR, $%d\n\n", max(8*len(addresses), 8))
	b.WriteString("// func kernelTable() *uintptr\nTEXT ·kernelTable(SB), NOSPLIT, $0-8\n")
	if arch == "arm64" {
		b.WriteString("\tMOVD\t$kernels<>(SB), R0\n\tMOVD\tR0, ret+0(FP)\n\tRET\n")
	} else {
		b.WriteString("\tLEAQ\tkernels<>(SB), AX\n\tMOVQ\tAX, ret+0(FP)\n\tRET\n")
	}
	return b.Bytes()
}

// text is a blob as Go assembly.
func (c *code) text(i int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\nTEXT blob%d<>(SB), NOSPLIT|NOFRAME, $0-0\n\tPCALIGN\t$64\n", i)
	data := bytes.Clone(c.blobs[i].data)
	for len(data)%8 != 0 {
		data = append(data, 0)
	}
	for ; len(data) > 0; data = data[8:] {
		if c.arch == "arm64" {
			fmt.Fprintf(&b, "\tWORD\t$%#x\n\tWORD\t$%#x\n", binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:]))
		} else {
			fmt.Fprintf(&b, "\tQUAD\t$%#x\n", binary.LittleEndian.Uint64(data))
		}
	}
	return b.Bytes()
}

// cTable is table in C.
func (c *code) cTable() []byte {
	var decl, list strings.Builder
	c.each(func(_ int, p place) {
		fmt.Fprintf(&decl, "extern void %s(const int64_t *, int64_t, int64_t);\n", p.name)
		fmt.Fprintf(&list, "\t(uintptr_t)%s,\n", p.name)
	})
	return []byte("/* Code generated by nnc; DO NOT EDIT. */\n\n#include <stdint.h>\n\n" + decl.String() +
		"\nstatic const uintptr_t table[] = {\n" + list.String() + "\t0};\n\nconst uintptr_t *nnc_kernel_table(void) { return table; }\n")
}
