package lower_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/target"
)

// arenaOf lowers a module for amd64 and gives the size of its arena.
func arenaOf(t *testing.T, src string) int64 {
	m, err := ir.Parse(src)
	require.NoError(t, err)
	w, err := lower.NewWeights(t.TempDir())
	require.NoError(t, err)
	defer w.Close()
	p, err := lower.Lower(m, &target.Target{OS: "linux", Arch: target.Archs[0], Levels: target.Archs[0].Levels}, w, lower.Options{})
	require.NoError(t, err)
	return p.Plan.ArenaSize
}

// TestInPlace: a value that dies at an elementwise op gives it its memory; one that lives on does not.
func TestInPlace(t *testing.T) {
	const one = 4096
	assert.EqualValues(t, one, arenaOf(t, `module "chain"
graph (%x: f32[1024]) -> (%d) {
  %a: f32[1024] = Exp(%x)
  %b: f32[1024] = Sigmoid(%a)
  %c: f32[1024] = Tanh(%b)
  %d: f32[1024] = Relu(%c)
}`))
	assert.EqualValues(t, 2*one, arenaOf(t, `module "kept"
graph (%x: f32[1024]) -> (%d) {
  %a: f32[1024] = Exp(%x)
  %b: f32[1024] = Sigmoid(%a)
  %c: f32[1024] = Tanh(%b)
  %d: f32[1024] = Add(%c, %a)
}`))
	assert.EqualValues(t, 2*one, arenaOf(t, `module "broadcast"
graph (%x: f32[1024]) -> (%d) {
  %s: i64[2] = Const() {value = i64[2] [32, 32]}
  %a: f32[1024] = Exp(%x)
  %r: f32[32,32] = Reshape(%a, %s)
  %t: f32[32,32] = Transpose(%r) {perm = [1, 0]}
  %d: f32[32,32] = Add(%t, %r)
}`))
}
