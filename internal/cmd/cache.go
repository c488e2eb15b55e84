package cmd

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/spf13/cobra"
)

// The cache of executables: UserCacheDir/nnc/KEY/NAME, where KEY is the hash of everything that the
// executable depends on. Entries that nobody used for cacheAge go when a new one comes.
const cacheAge = 30 * 24 * time.Hour

// cachedExe gives the path of the model's executable, which it builds unless it is there already.
func cachedExe(c *cobra.Command, model string, f *compileFlags) (string, error) {
	o, err := f.options(c.ErrOrStderr())
	if err != nil {
		return "", err
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the cache of executables: %w; set HOME or XDG_CACHE_HOME", err)
	}
	base = filepath.Join(base, "nnc")
	key, err := cacheKey(model, f)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, key)
	exe := filepath.Join(dir, driver.ExeName(model))
	if st, err := os.Stat(exe); err == nil && st.Mode().IsRegular() && len(o.Debug) == 0 {
		now := time.Now()
		os.Chtimes(dir, now, now)
		return exe, nil
	}
	sweepCache(base)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	p, err := buildProduct(c, model, o, driver.EmitOptions{Kind: "exe", Out: exe, Version: version()})
	if err != nil {
		os.Remove(dir) // only if empty: another process may be building too
		return "", err
	}
	return exe, p.Compiled.Close()
}

// sweepCache removes entries that were not used for long. Entries are named by hashes; what else is
// there stays.
func sweepCache(base string) {
	entries, _ := os.ReadDir(base)
	for _, e := range entries {
		st, err := e.Info()
		if err == nil && e.IsDir() && len(e.Name()) == 2*sha256.Size && time.Since(st.ModTime()) > cacheAge {
			os.RemoveAll(filepath.Join(base, e.Name()))
		}
	}
}

// cacheKey hashes the model, its external data, the flags and nnc itself.
func cacheKey(model string, f *compileFlags) (string, error) {
	t, err := f.parseTarget()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	field := func(name string, v any) { fmt.Fprintf(h, "%s %q\n", name, fmt.Sprint(v)) }
	field("target", t)
	for _, l := range t.Levels {
		field("level", l.Name) // what native means here
	}
	generator, err := driver.OpenBackend(f.backend)
	if err != nil {
		return "", err
	}
	field("flags", []any{generator.Name(), f.math, f.optimize, f.hardlinks})
	for _, s := range f.shapes {
		field("shape", s)
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if err := hashFile(h, self); err != nil {
		return "", err
	}
	b, err := os.ReadFile(model)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "model %d\n", len(b))
	h.Write(b)
	if err := hashExternal(h, b, filepath.Dir(model)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(h hash.Hash, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "file %d\n", st.Size())
	_, err = io.Copy(h, f)
	return err
}

// locationKey is how the key "location" of an external tensor begins in a model file: field 1 of a
// StringStringEntryProto. The value is field 2, which every known writer puts right behind it.
var locationKey = []byte("\x0a\x08location")

// hashExternal hashes the files beside a model that it may refer to. It looks for references without
// decoding the model: one too many only costs time. Where one has an unknown form, the sizes and times
// of all files in the folder stand for their contents.
func hashExternal(h hash.Hash, model []byte, dir string) error {
	var names []string
	for b := model; ; {
		i := bytes.Index(b, locationKey)
		if i < 0 {
			break
		}
		b = b[i+len(locationKey):]
		name, ok := locationValue(b)
		if !ok {
			return hashFolder(h, dir)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		st, err := os.Stat(filepath.Join(dir, name))
		if !filepath.IsLocal(name) || err != nil || !st.Mode().IsRegular() {
			continue // the frontend will say what is wrong with it
		}
		if err := hashFile(h, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func locationValue(b []byte) (string, bool) {
	if len(b) == 0 || b[0] != 0x12 {
		return "", false
	}
	n, k := binary.Uvarint(b[1:])
	if k <= 0 || n > 4096 || n > uint64(len(b)-1-k) {
		return "", false
	}
	return string(b[1+k : 1+k+int(n)]), true
}

func hashFolder(h hash.Hash, dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			fmt.Fprintf(h, "%q %d %v\n", e.Name(), st.Size(), st.ModTime().UnixNano())
		}
	}
	return err
}
