package tune

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nnc-go/nnc/lower"
)

// Cache is a folder with a file for each choice that was measured, on a machine and by a compiler that ID names. A nil
// cache is empty and stays so.
type Cache struct {
	Dir string
	ID  string
}

// entry is a file of the cache.
type entry struct {
	Choice     string          `json:"choice"`
	Key        string          `json:"key"`
	Machine    string          `json:"machine"`
	Candidates []string        `json:"candidates"`
	Times      []time.Duration `json:"ns"`
	Chosen     string          `json:"chosen"`
}

func (c *Cache) path(ch lower.Choice) string {
	h := sha256.Sum256([]byte(c.ID + "\n" + ch.ID()))
	return filepath.Join(c.Dir, hex.EncodeToString(h[:16])+".json")
}

// Load gives the decision that is in the cache, nil if there is none. A file that does not make sense is an error and none.
func (c *Cache) Load(ch lower.Choice) (*Decision, error) {
	if c == nil {
		return nil, nil
	}
	path := c.path(ch)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cache of measured choices: %w", err)
	}
	var e entry
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("%s is damaged (%v); it is measured anew", path, err)
	}
	chosen := slices.Index(e.Candidates, e.Chosen)
	if e.Choice != ch.Name || e.Key != ch.Key || !slices.Equal(e.Candidates, ch.Candidates) || chosen < 0 || len(e.Times) != len(e.Candidates) {
		return nil, fmt.Errorf("%s is about another choice than its name says; it is measured anew", path)
	}
	return &Decision{Choice: ch, Chosen: chosen, Times: e.Times, Cached: true}, nil
}

// Store puts a decision into the cache: a whole file or none.
func (c *Cache) Store(d *Decision) (err error) {
	if c == nil {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cache of measured choices: %w", err)
		}
	}()
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	b, err := json.MarshalIndent(entry{d.Name, d.Key, c.ID, d.Candidates, d.Times, d.Candidates[d.Chosen]}, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(c.Dir, "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.path(d.Choice))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
