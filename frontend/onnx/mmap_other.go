//go:build !unix

package onnx

import (
	"io"
	"os"
)

const openFlags = 0

// mapBytes reads size bytes of f.
func mapBytes(f *os.File, size int) (b []byte, unmap func() error, err error) {
	b = make([]byte, size)
	_, err = io.ReadFull(f, b)
	return b, func() error { return nil }, err
}

func links(os.FileInfo) uint64 { return 1 }
