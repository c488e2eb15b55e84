package cmd

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/ops.md anew")

// TestOpsPage: docs/ops.md is what nnc ops -md prints, and lists no operator that does not run.
func TestOpsPage(t *testing.T) {
	var out bytes.Buffer
	c := opsCommand()
	c.SetOut(&out)
	c.SetArgs([]string{"--md"})
	require.NoError(t, c.Execute())
	const page = "../../docs/ops.md"
	if *update {
		require.NoError(t, os.WriteFile(page, out.Bytes(), 0o644))
	}
	b, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, string(b), out.String(), "docs/ops.md is stale: make update")
	require.NotContains(t, out.String(), "| unsupported |")
}
