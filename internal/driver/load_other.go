//go:build !linux

package driver

import (
	"context"
	"fmt"
	"runtime"

	"github.com/nnc-go/nnc/runtime/exec"
)

// Loaded is a compiled model that runs in this process.
type Loaded struct{ *exec.Model }

// Load needs Linux: programs that nnc builds run elsewhere too, code in nnc's own process does not.
func (c *Compiled) Load(ctx context.Context, opts exec.Options) (*Loaded, error) {
	_, err := LoadAll(ctx, []*Compiled{c}, opts)
	return nil, err
}

// LoadAll is Load for several models.
func LoadAll(context.Context, []*Compiled, exec.Options) ([]*Loaded, error) {
	return nil, fmt.Errorf("running a model inside nnc needs linux, this is %s; build an executable", runtime.GOOS)
}

// Close stops the model.
func (l *Loaded) Close() error { return nil }
