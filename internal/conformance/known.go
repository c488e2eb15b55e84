package conformance

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nnc-go/nnc/internal/testcase"
)

// Known is what is known of cases by name: that they fail (nil), or what they are allowed.
type Known map[string]*testcase.Tolerance

// Fails reports whether a case is known to fail.
func (k Known) Fails(name string) bool {
	t, ok := k[name]
	return ok && t == nil
}

// Tolerance is what a case is allowed beyond others, if it is.
func (k Known) Tolerance(name string) (testcase.Tolerance, bool) {
	if t := k[name]; t != nil {
		return *t, true
	}
	return testcase.Tolerance{}, false
}

// ReadKnown reads a list of cases: a name a line, and behind it rtol=R atol=A where the case does not fail
// but needs a tolerance of its own. "#" begins a comment.
func ReadKnown(path string) (Known, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseKnown(f)
}

func parseKnown(r io.Reader) (Known, error) {
	known := Known{}
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		line, _, _ := strings.Cut(s.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if _, ok := known[f[0]]; ok {
			return nil, fmt.Errorf("line %d: %s stands there twice", n, f[0])
		}
		known[f[0]] = nil
		if len(f) == 1 {
			continue
		}
		t := testcase.Tolerance{}
		if k, err := fmt.Sscanf(strings.Join(f[1:], " "), "rtol=%g atol=%g", &t.Rel, &t.Abs); k != 2 || err != nil {
			return nil, fmt.Errorf("line %d: want rtol=R atol=A behind %s, got %q", n, f[0], strings.Join(f[1:], " "))
		}
		known[f[0]] = &t
	}
	return known, s.Err()
}
