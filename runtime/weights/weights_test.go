package weights

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func write(t *testing.T, b []byte) string {
	path := filepath.Join(t.TempDir(), "exe")
	require.NoError(t, os.WriteFile(path, b, 0o755))
	return path
}

func TestAppendOpen(t *testing.T) {
	for _, n := range []int{0, 1, Align, Align + 1} {
		for _, size := range []int{0, 1, 100_000} {
			var b bytes.Buffer
			b.Write(make([]byte, n))
			w := bytes.Repeat([]byte{7, 8, 9}, size)
			require.NoError(t, Append(&b, int64(n), bytes.NewReader(w)))
			d, err := Open(write(t, b.Bytes()))
			require.NoError(t, err)
			require.True(t, bytes.Equal(w, d.Bytes))
			if size > 0 {
				require.Zero(t, uintptr(unsafe.Pointer(&d.Bytes[0]))%64)
			}
			require.NoError(t, d.Verify())
			require.NoError(t, d.Close())
		}
	}
}

func TestDamage(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, Append(&b, 0, bytes.NewReader(make([]byte, 1000))))
	whole := b.Bytes()
	for n := range len(whole) {
		_, err := Open(write(t, whole[:n]))
		require.ErrorIs(t, err, ErrFormat, "%d bytes", n)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		d, err := Open(write(t, bad))
		if err == nil {
			err = d.Verify()
		}
		require.ErrorIs(t, err, ErrFormat, "byte %d", i)
	}
	_, err := Open(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, FromBytes(whole).Verify())
}
