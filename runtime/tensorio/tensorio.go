// Package tensorio reads and writes tensors, sequences, maps and optionals as files: NumPy's .npy and .npz,
// ONNX's .pb (TensorProto, SequenceProto, MapProto, OptionalProto), JSON, and raw bytes. It ships in every
// product, hence its own small readers of protobuf and JSON in place of large general ones.
//
// Every reader takes untrusted bytes: what is malformed is an error, never a panic, and no header can
// make it allocate more than a small multiple of the file's size.
package tensorio

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Kind says what a value is.
type Kind uint8

// The kinds of values.
const (
	KindTensor Kind = iota
	KindSeq
	KindOptional
	KindMap
)

// Want says what the reader of a file expects. Formats that say themselves what they hold use it only
// where they are ambiguous; the caller checks the result against its model.
type Want struct {
	Kind  Kind
	DType tensor.DType // Invalid where any will do
	// Shape is needed for raw files; -1 stands for one dimension to be computed from the size.
	Shape []int64
	// Name chooses the array of an .npz file that holds several.
	Name string
}

// ErrFormat is the error that all complaints about the contents of a file wrap.
var ErrFormat = fmt.Errorf("malformed tensor file")

func formatErr(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
}

// ReadFile reads a value from a file whose extension tells the format: .npy, .npz, .pb, .json; any
// other is raw bytes of w.DType and w.Shape.
func ReadFile(path string, w Want) (hostop.Value, error) {
	b, err := readAligned(path)
	if err != nil {
		return nil, err
	}
	v, err := decode(strings.ToLower(filepath.Ext(path)), b, w)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

func decode(ext string, b []byte, w Want) (hostop.Value, error) {
	switch ext {
	case ".npy":
		return asValue(DecodeNPY(b, w.DType))
	case ".npz":
		return asValue(fromNPZ(b, w))
	case ".pb":
		return DecodePB(b, w.Kind)
	case ".json":
		return DecodeJSON(b, w)
	}
	return asValue(DecodeRaw(b, w.DType, w.Shape))
}

// asValue keeps a nil tensor from becoming a non-nil interface.
func asValue(t *tensor.Tensor, err error) (hostop.Value, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

// readAligned reads a file into memory that starts at a multiple of tensor.Align, so that arrays
// which a format aligns in the file can be used where they are.
func readAligned(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return io.ReadAll(f)
	}
	b := tensor.AlignedBytes(st.Size())
	n, err := io.ReadFull(f, b)
	if err != nil && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	return b[:n], nil
}

// WriteFile writes v in the format that the extension of path names: .npy, .pb, .json; other
// extensions get raw bytes. The file appears whole or not at all.
func WriteFile(path string, v hostop.Value) error {
	var buf bytes.Buffer
	var err error
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".pb":
		buf.Write(EncodePB(v, ""))
	case ".json":
		err = EncodeJSON(&buf, v)
	default:
		t, ok := v.(*tensor.Tensor)
		switch {
		case !ok:
			err = fmt.Errorf("%s files hold tensors only, not sequences or maps; use .pb or .json", ext)
		case ext == ".npy":
			err = EncodeNPY(&buf, t)
		case t.DType == tensor.String:
			err = fmt.Errorf("raw files cannot hold strings")
		default:
			buf.Write(t.Data)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return WriteAtomic(path, buf.Bytes())
}

// WriteAtomic writes a file under a temporary name in the same directory and renames it.
func WriteAtomic(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-"+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// DecodeRaw makes a tensor of b, which it may share. One dimension may be -1; with a nil shape the
// result has one dimension.
func DecodeRaw(b []byte, d tensor.DType, shape []int64) (*tensor.Tensor, error) {
	if d.Bits() == 0 {
		return nil, fmt.Errorf("raw bytes need a numeric element type, got %v (formats with a type of their own are .npy, .npz, .pb and .json)", d)
	}
	if shape == nil {
		shape = []int64{-1}
	}
	shape = append([]int64{}, shape...)
	free, rest := -1, int64(1)
	for i, n := range shape {
		switch {
		case n == -1 && free < 0:
			free = i
		case n < 0:
			return nil, fmt.Errorf("raw bytes: shape %s has more than one unknown dimension", tensor.ShapeString(shape))
		case n > 0 && rest > math.MaxInt64/64/n:
			return nil, fmt.Errorf("raw bytes: shape %s is too large", tensor.ShapeString(shape))
		default:
			rest *= n
		}
	}
	if free >= 0 {
		shape[free] = 0
		if rest > 0 {
			shape[free] = int64(len(b)) * 8 / int64(d.Bits()) / rest
		}
	}
	if want := d.Bytes(tensor.NumElements(shape)); want != int64(len(b)) {
		return nil, formatErr("%d bytes; %v%s needs %d", len(b), d, tensor.ShapeString(shape), want)
	}
	return &tensor.Tensor{DType: d, Shape: shape, Data: aligned(b, d)}, nil
}

// aligned gives b itself, or a copy if it does not start at a multiple of d's size.
func aligned(b []byte, d tensor.DType) []byte {
	if tensor.IsAligned(b, d) {
		return b
	}
	c := tensor.AlignedBytes(int64(len(b)))
	copy(c, b)
	return c
}

// elements is the checked number of elements of a shape that a file claims; an error where a
// dimension is negative or where avail bytes cannot hold it.
func elements(shape []int64, bits int, avail int64) (int64, error) {
	n := int64(1)
	zero := false
	for _, d := range shape {
		if d < 0 {
			return 0, formatErr("negative dimension in shape %s", tensor.ShapeString(shape))
		}
		if d == 0 {
			zero = true
			continue
		}
		if n > math.MaxInt64/256/d {
			return 0, formatErr("shape %s is too large", tensor.ShapeString(shape))
		}
		n *= d
	}
	if zero {
		return 0, nil
	}
	if need := (n*int64(bits) + 7) / 8; need > avail {
		return 0, formatErr("shape %s needs %d bytes of data, have %d", tensor.ShapeString(shape), need, avail)
	}
	return n, nil
}
