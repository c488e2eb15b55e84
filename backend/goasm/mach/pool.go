package mach

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Pool holds the constants of a file, each once.
type Pool struct {
	Name string // of the symbol, without <>
	data []byte
	at   map[string]int
}

// Add gives the operand that names the constant b, of 1, 2, 4, 8, ... bytes.
func (p *Pool) Add(b []byte) Arg {
	if p.at == nil {
		p.at = map[string]int{}
	}
	off, ok := p.at[string(b)]
	if !ok {
		for len(p.data)%len(b) != 0 {
			p.data = append(p.data, 0)
		}
		off = len(p.data)
		p.at[string(b)] = off
		p.data = append(p.data, b...)
	}
	return Text(fmt.Sprintf("%s<>+%d(SB)", p.Name, off))
}

// Bits is Add for an element of size bytes.
func (p *Pool) Bits(bits uint64, size int) Arg {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], bits)
	return p.Add(b[:size])
}

// Print writes the pool as data.
func (p *Pool) Print(w io.Writer) {
	if len(p.data) == 0 {
		return
	}
	d := append([]byte{}, p.data...)
	for len(d)%8 != 0 {
		d = append(d, 0)
	}
	for i := 0; i < len(d); i += 8 {
		fmt.Fprintf(w, "DATA %s<>+%d(SB)/8, $%#016x\n", p.Name, i, binary.LittleEndian.Uint64(d[i:]))
	}
	fmt.Fprintf(w, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", p.Name, len(d))
}
