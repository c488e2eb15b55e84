//go:build unix

package onnx

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags keep the opening of a FIFO from waiting for a writer.
const openFlags = unix.O_NONBLOCK

// mapBytes maps size bytes of f for reading.
func mapBytes(f *os.File, size int) (b []byte, unmap func() error, err error) {
	b, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return b, func() error { return unix.Munmap(b) }, nil
}

// links is the number of names that a file has.
func links(fi os.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}
