package exec

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/plan"
)

// TestNoLevel: where a processor has none of the levels, the error says what to do instead.
func TestNoLevel(t *testing.T) {
	p := &plan.Plan{Name: "m", Kernels: []string{"k"}}
	none := Options{HasFeatures: func(names []string) bool { return len(names) == 0 }}
	for want, l := range map[string]Level{
		"levels wide; build the program with -tags purego": {Name: "wide", Features: []string{"f"}, Kernels: []uintptr{1}, Else: "build the program with -tags purego"},
		"levels wide; compile for a lower one (-cpu)":      {Name: "wide", Features: []string{"f"}, Kernels: []uintptr{1}},
	} {
		_, err := New(p, []Level{l}, nil, none)
		require.ErrorIs(t, err, ErrLevel)
		require.ErrorContains(t, err, want)
	}
}
