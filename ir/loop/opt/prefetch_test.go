package opt

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir/loop"
)

func TestWithoutPrefetches(t *testing.T) {
	const text = "kernel k (x f32 arg 0, y f32 arg 1 write) range %1 %2 {\nfor %1 %2 step 1 (%3 i64) {\n%4 i64 = add %3 %1\n%5 bool = cmp lt %3 %1\n" +
		"if %5 {\nprefetch x %4\nyield\n} else {\nyield\n}\nprefetch y %4\n%6 f32 = load x %3\nstore y %3 %6\nyield\n}\n}\n"
	fs, err := loop.Parse(text)
	require.NoError(t, err)
	require.NoError(t, loop.Verify(fs[0]))
	var b strings.Builder
	loop.Print(&b, fs[0])
	require.Equal(t, 2, strings.Count(b.String(), "prefetch"))
	WithoutPrefetches(fs[0])
	b.Reset()
	loop.Print(&b, fs[0])
	require.NotRegexp(t, "prefetch|if|add|cmp", b.String())
	require.Contains(t, b.String(), "store")
}
