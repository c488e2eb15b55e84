package lower

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Weights is the weights file under construction: constants as kernels read them, each at a multiple
// of 64 bytes, written as they are packed so that a large model is never whole on the heap.
type Weights struct {
	f     *os.File
	w     *bufio.Writer
	size  int64
	known map[weightKey]int64
}

// weightKey identifies a packed constant: the data and how it was packed.
type weightKey struct {
	data *ir.Data
	form string
}

// NewWeights writes to a temporary file in dir; Close removes it.
func NewWeights(dir string) (*Weights, error) {
	f, err := os.CreateTemp(dir, "weights-*")
	if err != nil {
		return nil, err
	}
	return &Weights{f: f, w: bufio.NewWriterSize(f, 1<<20), known: map[weightKey]int64{}}, nil
}

// Size is the number of bytes written so far.
func (w *Weights) Size() int64 { return w.size }

// Reader flushes and gives the contents.
func (w *Weights) Reader() (*io.SectionReader, error) {
	if err := w.w.Flush(); err != nil {
		return nil, err
	}
	return io.NewSectionReader(w.f, 0, w.size), nil
}

// Close removes the temporary file.
func (w *Weights) Close() error {
	name := w.f.Name()
	w.f.Close()
	return os.Remove(name)
}

// Add appends bytes and returns their offset.
func (w *Weights) Add(b []byte) (int64, error) {
	off := (w.size + tensor.Align - 1) &^ (tensor.Align - 1)
	var zero [tensor.Align]byte
	if _, err := w.w.Write(zero[:off-w.size]); err != nil {
		return 0, fmt.Errorf("writing weights: %w", err)
	}
	if _, err := w.w.Write(b); err != nil {
		return 0, fmt.Errorf("writing weights: %w", err)
	}
	w.size = off + int64(len(b))
	return off, nil
}

// Raw appends a constant as it is, once.
func (w *Weights) Raw(d *ir.Data) (int64, error) {
	return w.Packed(d, "raw", func(t *tensor.Tensor) ([]byte, error) { return t.Data, nil })
}

// Packed appends a constant in another form, once per form.
func (w *Weights) Packed(d *ir.Data, form string, pack func(t *tensor.Tensor) ([]byte, error)) (int64, error) {
	key := weightKey{d, form}
	if off, ok := w.known[key]; ok {
		return off, nil
	}
	t, err := d.Tensor()
	if err != nil {
		return 0, err
	}
	b, err := pack(t)
	if err != nil {
		return 0, err
	}
	off, err := w.Add(b)
	if err != nil {
		return 0, err
	}
	w.known[key] = off
	return off, nil
}
