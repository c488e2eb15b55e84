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

// TestLoopArena: what an iteration makes and uses up shares memory; what it carries, and what it reads from
// outside, does not.
func TestLoopArena(t *testing.T) {
	const one = 4096
	arena := arenaOf(t, `module "loop"
graph (%m: i64[], %x: f32[1024]) -> (%y, %z) {
  %out: f32[1024] = Exp(%x)
  %y: f32[1024] = Loop(%m, _, %x) region (%i: i64[], %d: bool[], %v: f32[1024]) -> (%d, %f) {
    %a: f32[1024] = Exp(%v)
    %b: f32[1024] = Tanh(%a)
    %c: f32[1024] = Tanh(%b)
    %e: f32[1024] = Tanh(%c)
    %f: f32[1024] = Add(%e, %out)
  }
  %z: f32[1024] = Neg(%out)
}`)
	assert.EqualValues(t, 4*one, arena, "the carried value, %%out, and two of those inside")
}

// TestParts: concatenations that grow share one buffer with their operands, and parts of a value are seen where
// they lie; a value that others look into is not overwritten in place.
func TestParts(t *testing.T) {
	const one = 4096
	assert.EqualValues(t, (3+3)*one, arenaOf(t, `module "dense"
graph (%x: f32[1,1,1024]) -> (%y) {
  %a: f32[1,1,1024] = Exp(%x)
  %b: f32[1,1,1024] = Sigmoid(%a)
  %c: f32[1,2,1024] = Concat(%a, %b) {axis = 1}
  %d: f32[1,2,1024] = Tanh(%c)
  %i: i64[1] = Const() {value = i64[1] [1]}
  %m: f32[1,1,1024] = ReduceMean(%d, %i)
  %e: f32[1,3,1024] = Concat(%a, %b, %m) {axis = 1}
  %f: f32[1,3,1024] = Sigmoid(%e)
  %y: f32[1,3,1024] = Add(%f, %e)
}`))
	assert.EqualValues(t, 4*one, arenaOf(t, `module "split"
graph (%x: f32[1,2,1024]) -> (%y, %z) {
  %n: i64[2] = Const() {value = i64[2] [1, 1]}
  %a: f32[1,2,1024] = Exp(%x)
  %b: f32[1,1,1024], %c: f32[1,1,1024] = Split(%a, %n) {axis = 1}
  %d: f32[1,2,1024] = Sigmoid(%a)
  %y: f32[1,2,1024] = Tanh(%d)
  %z: f32[1,1,1024] = Add(%b, %c)
}`))
	assert.EqualValues(t, 2*one, arenaOf(t, `module "slice"
graph (%x: f32[1,2,1024]) -> (%y) {
  %lo: i64[1] = Const() {value = i64[1] [1]}
  %hi: i64[1] = Const() {value = i64[1] [2]}
  %a: f32[1,2,1024] = Exp(%x)
  %b: f32[1,1,1024] = Slice(%a, %lo, %hi, %lo)
  %y: f32[1,1,1024] = Neg(%b)
}`))
	assert.EqualValues(t, 4*one, arenaOf(t, `module "batch"
graph (%x: f32[2,512]) -> (%y) {
  %a: f32[2,512] = Exp(%x)
  %b: f32[2,512] = Sigmoid(%x)
  %c: f32[2,1024] = Concat(%a, %b) {axis = 1}
  %y: f32[2,1024] = Neg(%c)
}`))
}
