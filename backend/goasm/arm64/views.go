package arm64

import (
	"fmt"

	"github.com/nnc-go/nnc/backend/goasm/mach"
)

// shape is how an instruction sees a vector register: lanes of 1<<log bytes in its first 8 bytes, or in all 16 (q = 1).
type shape struct{ log, q uint8 }

// whole is all of a register as bytes.
var whole = shape{0, 1}

// shapeOf is the shape of n lanes of size bytes.
func shapeOf(n, size int) shape {
	sh := shape{log: logOf(size)}
	if n*size > 8 {
		sh.q = 1
	}
	return sh
}

func logOf(size int) (l uint8) {
	for ; size > 1; size /= 2 {
		l++
	}
	return l
}

func (sh shape) lanes() int    { return 8 << sh.q >> sh.log }
func (sh shape) octets() shape { return shape{0, sh.q} }

// Views of a vector register. Go's assembler and Arm's write them differently; arm marks the latter, in which
// the comments beside encoded words are.
const (
	vScalar  uint8 = 0  // F3, as scalars are for Go's assembler
	vShape   uint8 = 1  // V3.S4: plus 2*log + q
	vElement uint8 = 9  // V3.S[1]: plus elementAt[log] + index
	vList    uint8 = 40 // [V3.B16]: plus 2*log + q
	vSingle  uint8 = 50 // V3, for Arm s3: plus log
	arm      uint8 = 0x80
)

// elementAt is where the views of elements of 1<<log bytes begin.
var elementAt = [...]uint8{0, 16, 24, 28}

func (sh shape) view() uint8         { return vShape + 2*sh.log + sh.q }
func (sh shape) element(i int) uint8 { return vElement + elementAt[sh.log] + uint8(i) }

// name is how assemblers write a register. Views of general registers are R3 (0) and R3<<n (n), for Arm x3 (0) and w3 (1).
func name(p mach.Phys, c mach.Class, view uint8) string {
	switch {
	case c == mach.GPR && view == 0:
		return fmt.Sprintf("R%d", p)
	case c == mach.GPR && view < arm:
		return fmt.Sprintf("R%d<<%d", p, view)
	case c == mach.GPR:
		return fmt.Sprintf("%c%d", "xw"[view-arm], p)
	case view >= arm:
		return armName(p, view-arm)
	}
	return goName(p, view)
}

func goName(p mach.Phys, view uint8) string {
	switch {
	case view == vScalar:
		return fmt.Sprintf("F%d", p)
	case view >= vSingle:
		return fmt.Sprintf("V%d", p)
	case view >= vList:
		return "[" + goName(p, view-vList+vShape) + "]"
	case view >= vElement:
		log, i := elementOf(view)
		return fmt.Sprintf("V%d.%c[%d]", p, "BHSD"[log], i)
	}
	sh := shape{(view - vShape) / 2, (view - vShape) % 2}
	return fmt.Sprintf("V%d.%c%d", p, "BHSD"[sh.log], sh.lanes())
}

func armName(p mach.Phys, view uint8) string {
	switch {
	case view >= vSingle:
		return fmt.Sprintf("%c%d", "bhsd"[view-vSingle], p)
	case view >= vList:
		return "{ " + armName(p, view-vList+vShape) + " }"
	case view >= vElement:
		log, i := elementOf(view)
		return fmt.Sprintf("v%d.%c[%d]", p, "bhsd"[log], i)
	}
	sh := shape{(view - vShape) / 2, (view - vShape) % 2}
	return fmt.Sprintf("v%d.%d%c", p, sh.lanes(), "bhsd"[sh.log])
}

func elementOf(view uint8) (log, i uint8) {
	view -= vElement
	for log = 3; elementAt[log] > view; log-- {
	}
	return log, view - elementAt[log]
}
