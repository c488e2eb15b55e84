// Package weights finds the weights of a product. An executable carries them behind its machine code:
//
//	| Go binary | zeros up to a multiple of 64 KiB | weights | trailer of 40 bytes |
//
// so that they can be mapped from the file (the largest page size of any target is 64 KiB) and cost
// neither time at the start nor memory that the system could not take back. The trailer is little-endian: the magic, the offset
// and size of the weights in bytes, their CRC-64 (ECMA), and the CRC-64 of the trailer before it.
// The first checksum is verified on demand only, as that means reading all weights.
package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"runtime"

	"github.com/nnc-go/nnc/runtime/tensor"
)

const (
	magic      = "nncw0001"
	trailerLen = 40
	// Align is the alignment in bytes of the weights in the file.
	Align = 64 << 10
)

// ErrFormat is the error that all complaints about the contents of a file wrap.
var ErrFormat = errors.New("damaged executable")

// Data is loaded weights.
type Data struct {
	// Bytes are the weights, read-only, at an address that is a multiple of 64 unless they come from FromBytes.
	Bytes []byte
	sum   uint64
	known bool
	unmap func() error
}

// FromBytes wraps weights that are in memory already.
func FromBytes(b []byte) *Data { return &Data{Bytes: b} }

// OpenSelf loads the weights of the running executable.
func OpenSelf() (*Data, error) {
	// The link, unlike the path behind it, stays right when the file is replaced while it runs.
	if runtime.GOOS == "linux" {
		if d, err := Open("/proc/self/exe"); err == nil || errors.Is(err, ErrFormat) {
			return d, err
		}
	}
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	return Open(path)
}

// Open loads the weights that Append put behind the file at path. Errors: those of the file system, ErrFormat.
func Open(path string) (*Data, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	off, size, sum, err := readTrailer(f, st.Size())
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	d := &Data{sum: sum, known: true}
	if size == 0 {
		return d, nil
	}
	if int64(int(size)) != size {
		return nil, fmt.Errorf("weights: %s: %d bytes do not fit this machine's address space", path, size)
	}
	if d.Bytes, d.unmap, err = load(f, off, int(size)); err != nil {
		return nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return d, nil
}

// readTrailer checks the trailer of a file of n bytes.
func readTrailer(r io.ReaderAt, n int64) (off, size int64, sum uint64, err error) {
	var t [trailerLen]byte
	if n < trailerLen {
		return 0, 0, 0, fmt.Errorf("%w: %d bytes, want at least %d", ErrFormat, n, trailerLen)
	}
	if _, err := r.ReadAt(t[:], n-trailerLen); err != nil {
		return 0, 0, 0, err
	}
	le := binary.LittleEndian
	if string(t[:8]) != magic {
		return 0, 0, 0, fmt.Errorf("%w: no weights at its end; was it truncated or stripped?", ErrFormat)
	}
	if le.Uint64(t[32:]) != crc64.Checksum(t[:32], crc64.MakeTable(crc64.ECMA)) {
		return 0, 0, 0, fmt.Errorf("%w: checksum of the trailer does not match", ErrFormat)
	}
	off, size = int64(le.Uint64(t[8:])), int64(le.Uint64(t[16:]))
	if off < 0 || off%Align != 0 || size < 0 || off > n-trailerLen || size != n-trailerLen-off {
		return 0, 0, 0, fmt.Errorf("%w: %d bytes of weights at %d of a file of %d", ErrFormat, size, off, n)
	}
	return off, size, le.Uint64(t[24:]), nil
}

// read loads weights where they cannot be mapped.
func read(f *os.File, off int64, size int) ([]byte, func() error, error) {
	b := tensor.AlignedBytes(int64(size))
	_, err := f.ReadAt(b, off)
	return b, nil, err
}

// Append writes padding, weights and trailer to w, behind the n bytes that are there already.
func Append(w io.Writer, n int64, weights io.Reader) error {
	off := (n + Align - 1) / Align * Align
	if _, err := w.Write(make([]byte, off-n)); err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	tab := crc64.MakeTable(crc64.ECMA)
	h := crc64.New(tab)
	size, err := io.CopyBuffer(io.MultiWriter(w, h), weights, make([]byte, 1<<20))
	if err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	le := binary.LittleEndian
	t := le.AppendUint64([]byte(magic), uint64(off))
	t = le.AppendUint64(t, uint64(size))
	t = le.AppendUint64(t, h.Sum64())
	t = le.AppendUint64(t, crc64.Checksum(t, tab))
	if _, err := w.Write(t); err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	return nil
}

// Verify reads all weights and compares their checksum. Weights from FromBytes have none.
func (d *Data) Verify() error {
	if !d.known {
		return nil
	}
	if got := crc64.Checksum(d.Bytes, crc64.MakeTable(crc64.ECMA)); got != d.sum {
		return fmt.Errorf("weights: %w: checksum %016x, want %016x", ErrFormat, got, d.sum)
	}
	return nil
}

// Close releases the memory; Bytes must not be used any more.
func (d *Data) Close() error {
	unmap := d.unmap
	d.Bytes, d.unmap = nil, nil
	if unmap == nil {
		return nil
	}
	return unmap()
}
