//go:build !unix

package weights

import "os"

func load(f *os.File, off int64, size int) ([]byte, func() error, error) { return read(f, off, size) }
