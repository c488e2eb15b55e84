package onnx

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
)

// source is where a model's bytes come from: the model file and the files of external data beside it.
type source struct {
	bytes          []byte
	dir            string      // real directory of external data; "" refuses it
	self           os.FileInfo // the model file; nil where it is not a file
	allowHardlinks bool

	root   *os.Root
	files  map[string]*dataFile // by location
	unmaps []func() error
	closed atomic.Bool
}

// dataFile is a mapped file of external data.
type dataFile struct {
	bytes []byte
	sha1  string // hexadecimal, once it was asked for
}

// close unmaps everything. Constants that are loaded later give errClosed.
func (s *source) close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var errs []error
	for _, f := range s.unmaps {
		errs = append(errs, f())
	}
	if s.root != nil {
		errs = append(errs, s.root.Close())
	}
	return errors.Join(errs...)
}

var errClosed = errors.New("the model was closed")

// view makes a loader of b, which may be mapped.
func (s *source) view(b []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		if s.closed.Load() {
			return nil, errClosed
		}
		return b, nil
	}
}

// mapFile maps a regular file.
func (s *source) mapFile(f *os.File, fi os.FileInfo) ([]byte, error) {
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file but %v", f.Name(), fi.Mode().Type())
	}
	size := fi.Size()
	if size == 0 {
		return []byte{}, nil
	}
	if size > math.MaxInt {
		return nil, fmt.Errorf("%s has %d bytes, more than this machine can address", f.Name(), size)
	}
	b, unmap, err := mapBytes(f, int(size))
	if err != nil {
		return nil, err
	}
	s.unmaps = append(s.unmaps, unmap)
	return b, nil
}

// checkLocation refuses locations that are not plain relative paths.
func checkLocation(loc string) error {
	bad := func(why string) error { return fmt.Errorf("external data location %q %s", loc, why) }
	switch {
	case loc == "":
		return bad("is empty")
	case strings.ContainsRune(loc, 0):
		return bad("contains NUL")
	case strings.ContainsRune(loc, '\\'):
		return bad("contains a backslash")
	case loc[0] == '/' || filepath.IsAbs(loc):
		return bad("is absolute")
	case len(loc) > 1 && loc[1] == ':':
		return bad("has a drive letter")
	}
	for part := range strings.SplitSeq(loc, "/") {
		if part == ".." {
			return bad("contains ..")
		}
	}
	if !filepath.IsLocal(loc) {
		return bad("is not a path inside the model's directory")
	}
	return nil
}

// open maps the file at a location, once.
func (s *source) open(loc string) (*dataFile, error) {
	if err := checkLocation(loc); err != nil {
		return nil, err
	}
	if f := s.files[loc]; f != nil {
		return f, nil
	}
	if s.dir == "" {
		return nil, fmt.Errorf("external data %q: the model has no directory to read it from", loc)
	}
	if s.root == nil {
		root, err := os.OpenRoot(s.dir)
		if err != nil {
			return nil, err
		}
		s.root, s.files = root, map[string]*dataFile{}
	}
	f, err := s.root.OpenFile(loc, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	if s.self != nil && os.SameFile(fi, s.self) {
		return nil, fmt.Errorf("external data %q is the model file itself", loc)
	}
	if n := links(fi); n > 1 && fi.Mode().IsRegular() && !s.allowHardlinks {
		return nil, fmt.Errorf("external data %q has %d hard links, want 1 (see -allow-hardlinks)", loc, n)
	}
	b, err := s.mapFile(f, fi)
	if err != nil {
		return nil, fmt.Errorf("external data %q: %w", loc, err)
	}
	s.files[loc] = &dataFile{bytes: b}
	return s.files[loc], nil
}

// digits reads a plain non-negative decimal number.
func digits(key, v string) (int64, error) {
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, fmt.Errorf("external data %s %q, want decimal digits", key, v)
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("external data %s %q, want a number below 2^63", key, v)
	}
	return n, nil
}

// external gives the want bytes of a tensor's external data.
func (s *source) external(t *onnxpb.TensorProto, want int64) ([]byte, error) {
	keys := map[string]string{}
	for _, e := range t.ExternalData {
		k := e.GetKey()
		if _, ok := keys[k]; ok {
			return nil, fmt.Errorf("external data has the key %q twice", k)
		}
		switch k {
		case "location", "offset", "length", "checksum", "basepath": // a writer's own directory: of no use here
			keys[k] = e.GetValue()
		default:
			return nil, fmt.Errorf("external data has the unknown key %q", k)
		}
	}
	loc, ok := keys["location"]
	if !ok {
		return nil, fmt.Errorf("external data has no location")
	}
	f, err := s.open(loc)
	if err != nil {
		return nil, err
	}
	if sum, ok := keys["checksum"]; ok {
		if err := f.check(loc, sum); err != nil {
			return nil, err
		}
	}
	return f.section(loc, keys, want)
}

// section cuts the bytes from offset on.
func (f *dataFile) section(loc string, keys map[string]string, want int64) ([]byte, error) {
	size, off := int64(len(f.bytes)), int64(0)
	var err error
	if v, ok := keys["offset"]; ok {
		if off, err = digits("offset", v); err != nil {
			return nil, err
		}
	}
	if off > size {
		return nil, fmt.Errorf("external data offset %d is beyond the %d bytes of %q", off, size, loc)
	}
	length := size - off
	if v, ok := keys["length"]; ok {
		if length, err = digits("length", v); err != nil {
			return nil, err
		}
	}
	if length != want {
		return nil, fmt.Errorf("external data has %d bytes, want %d for its type and dimensions", length, want)
	}
	if length > size-off {
		return nil, fmt.Errorf("external data offset %d and length %d reach beyond the %d bytes of %q", off, length, size, loc)
	}
	return f.bytes[off : off+length : off+length], nil
}

// check holds the SHA-1 of the whole file against a checksum.
func (f *dataFile) check(loc, sum string) error {
	if f.sha1 == "" {
		h := sha1.Sum(f.bytes)
		f.sha1 = hex.EncodeToString(h[:])
	}
	if !bytes.EqualFold([]byte(sum), []byte(f.sha1)) {
		return fmt.Errorf("external data %q has SHA-1 %s, want the checksum %q", loc, f.sha1, sum)
	}
	return nil
}
