//go:build unix

package weights

import (
	"os"
	"syscall"
)

// load maps the weights; file systems that cannot map make it read them.
func load(f *os.File, off int64, size int) ([]byte, func() error, error) {
	b, err := syscall.Mmap(int(f.Fd()), off, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return read(f, off, size)
	}
	return b, func() error { return syscall.Munmap(b) }, nil
}
