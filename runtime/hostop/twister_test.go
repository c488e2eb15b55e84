package hostop

import "testing"

// TestTwister holds MT19937 against the authors' first words for the seed 5489, and the 10,000th, which the C++
// standard fixes ([rand.predef]).
func TestTwister(t *testing.T) {
	g := newTwister(5489)
	for i, want := range []uint32{3499211612, 581869302, 3890346734, 3586334585, 545404204} {
		if got := g.word(); got != want {
			t.Fatalf("word %d is %d, want %d", i, got, want)
		}
	}
	for range 10_000 - 6 {
		g.word()
	}
	if got := g.word(); got != 4123659995 {
		t.Fatalf("word 10000 is %d, want 4123659995", got)
	}
}
