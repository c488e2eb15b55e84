package imagedec

// vp8 is a key frame of VP8 being decoded.
type vp8 struct {
	head               boolReader
	parts              []boolReader
	w, h, mbw, mbh     int
	y, u, v            plane
	segmented, mapped  bool
	absolute           bool
	segQuant, segLevel [4]int
	segProbs           [3]byte
	simple             bool
	level, sharpness   int
	deltas             bool
	refDelta, modDelta [4]int
	quant              [4]vp8Quant
	probs              [1056]byte
	skipProb           int // 0: none is skipped
	// of the row above and of what is on the left: modes of 4 x 4 blocks, and whether blocks had coefficients:
	// four of luma, two of each chroma, and that of the luma's first coefficients.
	topModes, leftModes []byte
	topSome, leftSome   [][9]byte
	filters             []vp8Filter
}

// plane is an image of whole macroblocks, size pixels each.
type plane struct {
	pix          []byte
	stride, size int
}

// vp8Quant are the steps of coefficients: the first and the others, of luma, of its first coefficients
// (which are transformed once more), and of chroma.
type vp8Quant struct{ y, y2, uv [2]int }

// vp8Filter says how the edges of a macroblock are smoothed.
type vp8Filter struct {
	limit, inner, hev int
	inside            bool
}

// boolReader is the arithmetic decoder of RFC 6386, section 7.
type boolReader struct {
	b         []byte
	value     uint32 // the top bits are compared with the split
	rng       uint32
	have      int // bits of value beyond the eight in use
	exhausted int
}

func newBoolReader(b []byte) boolReader {
	r := boolReader{b: b, rng: 255, have: -8}
	return r
}

// bit reads a bit that is 0 with probability p/256.
func (r *boolReader) bit(p int) int {
	for r.have < 0 {
		r.value <<= 8
		if len(r.b) > 0 {
			r.value |= uint32(r.b[0])
			r.b = r.b[1:]
		} else {
			r.exhausted++
			check(r.exhausted < 1<<16, "the data end too early")
		}
		r.have += 8
	}
	split := 1 + (r.rng-1)*uint32(p)>>8
	bit := 0
	if big := split << r.have; r.value >= big {
		r.value -= big
		r.rng -= split
		bit = 1
	} else {
		r.rng = split
	}
	for r.rng < 128 {
		r.rng <<= 1
		r.have--
	}
	return bit
}

func (r *boolReader) flag() bool { return r.bit(128) == 1 }

func (r *boolReader) bits(n int) int {
	v := 0
	for range n {
		v = v<<1 | r.bit(128)
	}
	return v
}

// signed reads n bits and a sign; optional reads it where a flag says that it is there.
func (r *boolReader) signed(n int) int {
	v := r.bits(n)
	if r.flag() {
		return -v
	}
	return v
}

func (r *boolReader) optional(n int) int {
	if r.flag() {
		return r.signed(n)
	}
	return 0
}

// decodeVP8 decodes the frame of a WebP file.
func decodeVP8(b []byte) *Image {
	check(len(b) >= 10 && b[0]&1 == 0 && b[3] == 0x9d && b[4] == 1 && b[5] == 0x2a, "not a key frame")
	first := int(b[0])>>5 | int(b[1])<<3 | int(b[2])<<11
	d := &vp8{w: (int(b[6]) | int(b[7])<<8) & 0x3fff, h: (int(b[8]) | int(b[9])<<8) & 0x3fff}
	checkSize(d.w, d.h, len(b))
	check(len(b) >= 10+first, "the first partition is cut off")
	d.head = newBoolReader(b[10 : 10+first])
	d.mbw, d.mbh = (d.w+15)/16, (d.h+15)/16
	newPlane := func(size int) plane { return plane{make([]byte, d.mbw*d.mbh*size*size), d.mbw * size, size} }
	d.y, d.u, d.v = newPlane(16), newPlane(8), newPlane(8)
	d.header(b[10+first:])
	d.topModes, d.topSome = make([]byte, 4*d.mbw), make([][9]byte, d.mbw)
	for y := range d.mbh {
		d.leftModes, d.leftSome = make([]byte, 4), make([][9]byte, 1)
		for x := range d.mbw {
			d.macroblock(x, y)
		}
	}
	d.smooth()
	return d.rgb(len(b))
}

// header reads the frame header (section 9).
func (d *vp8) header(rest []byte) {
	r := &d.head
	r.bits(2) // colour space, and whether clamping is needed
	if d.segmented = r.flag(); d.segmented {
		d.mapped = r.flag()
		if r.flag() {
			d.absolute = r.flag()
			for i := range d.segQuant {
				d.segQuant[i] = r.optional(7)
			}
			for i := range d.segLevel {
				d.segLevel[i] = r.optional(6)
			}
		}
		for i := range d.segProbs {
			d.segProbs[i] = 255
			if d.mapped && r.flag() {
				d.segProbs[i] = byte(r.bits(8))
			}
		}
	}
	d.simple, d.level, d.sharpness = r.flag(), r.bits(6), r.bits(3)
	if d.deltas = r.flag(); d.deltas && r.flag() {
		for _, t := range []*[4]int{&d.refDelta, &d.modDelta} {
			for i := range t {
				t[i] = r.optional(6)
			}
		}
	}
	d.partitions(rest, 1<<r.bits(2))
	d.steps()
	r.flag() // whether the probabilities serve other frames
	d.probs = vp8CoefProbs
	for i := range d.probs {
		if r.bit(int(vp8UpdateProbs[i])) == 1 {
			d.probs[i] = byte(r.bits(8))
		}
	}
	if r.flag() {
		d.skipProb = r.bits(8)
	} else {
		d.skipProb = -1
	}
}

// partitions splits the coefficients into n partitions, rows of macroblocks in turn.
func (d *vp8) partitions(b []byte, n int) {
	sizes := b[:3*(n-1)]
	b = b[3*(n-1):]
	for i := range n {
		size := len(b)
		if i < n-1 {
			s := sizes[3*i:]
			size = min(size, int(s[0])|int(s[1])<<8|int(s[2])<<16)
		}
		d.parts = append(d.parts, newBoolReader(b[:size]))
		b = b[size:]
	}
}

// steps reads the quantisers (section 9.6).
func (d *vp8) steps() {
	r := &d.head
	base := r.bits(7)
	var delta [5]int
	for i := range delta {
		delta[i] = r.optional(4)
	}
	for i := range d.quant {
		q := base
		if d.segmented {
			q = d.segQuant[i]
			if !d.absolute {
				q += base
			}
		}
		at := func(delta, most int) int { return min(max(q+delta, 0), most) }
		d.quant[i] = vp8Quant{
			y:  [2]int{vp8DC[at(delta[0], 127)], vp8AC[at(0, 127)]},
			y2: [2]int{2 * vp8DC[at(delta[1], 127)], max(8, vp8AC[at(delta[2], 127)]*155/100)},
			uv: [2]int{vp8DC[at(delta[3], 117)], vp8AC[at(delta[4], 127)]},
		}
	}
}

// The modes of prediction: of whole blocks the first four, of 4 x 4 blocks all.
const (
	predDC = iota
	predTrue
	predVertical
	predHorizontal
	predDownRight
	predVerticalRight
	predDownLeft
	predVerticalLeft
	predHorizontalDown
	predHorizontalUp
)

// macroblock decodes one macroblock: modes, coefficients, pixels.
func (d *vp8) macroblock(x, y int) {
	r := &d.head
	segment := 0
	if d.mapped {
		if r.bit(int(d.segProbs[0])) == 0 {
			segment = r.bit(int(d.segProbs[1]))
		} else {
			segment = 2 + r.bit(int(d.segProbs[2]))
		}
	}
	skip := d.skipProb >= 0 && r.bit(d.skipProb) == 1
	split := r.bit(145) == 0
	modes := d.modes(x, split)
	chroma := predDC
	if r.bit(142) == 1 {
		chroma = predVertical
		if r.bit(114) == 1 {
			chroma = predHorizontal
			if r.bit(183) == 1 {
				chroma = predTrue
			}
		}
	}
	var coef [400]int // blocks of luma, of the chromas, and of luma's first coefficients
	some := false
	if skip {
		top, left := &d.topSome[x], &d.leftSome[0]
		keepTop, keepLeft := top[8], left[8]
		*top, *left = [9]byte{}, [9]byte{}
		if split {
			top[8], left[8] = keepTop, keepLeft
		}
	} else {
		some = d.coefficients(&d.parts[y%len(d.parts)], &d.quant[segment], x, split, &coef)
	}
	d.filters = append(d.filters, d.filter(segment, split, some))
	d.y.predict(x, y, split, modes, coef[:256])
	d.u.predict(x, y, false, [16]byte{byte(chroma)}, coef[256:320])
	d.v.predict(x, y, false, [16]byte{byte(chroma)}, coef[320:384])
}

// modes reads the modes of luma: one, or one for each 4 x 4 block.
func (d *vp8) modes(x int, split bool) (m [16]byte) {
	r, top := &d.head, d.topModes[4*x:][:4]
	if !split {
		mode := byte(predDC)
		if r.bit(156) == 1 {
			mode = predHorizontal
			if r.bit(128) == 1 {
				mode = predTrue
			}
		} else if r.bit(163) == 1 {
			mode = predVertical
		}
		for i := range m {
			m[i] = mode
		}
		for i := range 4 {
			top[i], d.leftModes[i] = mode, mode
		}
		return m
	}
	for i := range m {
		p := vp8ModeProbs[(int(top[i%4])*10+int(d.leftModes[i/4]))*9:][:9]
		m[i] = r.subMode(p)
		top[i%4], d.leftModes[i/4] = m[i], m[i]
	}
	return m
}

// subMode reads the mode of a 4 x 4 block.
func (r *boolReader) subMode(p []byte) byte {
	bit := func(i int) bool { return r.bit(int(p[i])) == 1 }
	pick := func(c bool, yes, no byte) byte {
		if c {
			return yes
		}
		return no
	}
	switch {
	case !bit(0):
		return predDC
	case !bit(1):
		return predTrue
	case !bit(2):
		return predVertical
	case !bit(3):
		if !bit(4) {
			return predHorizontal
		}
		return pick(bit(5), predVerticalRight, predDownRight)
	case !bit(6):
		return predDownLeft
	case !bit(7):
		return predVerticalLeft
	}
	return pick(bit(8), predHorizontalUp, predHorizontalDown)
}

// coefficients reads all blocks of a macroblock and tells whether any has a coefficient.
func (d *vp8) coefficients(r *boolReader, q *vp8Quant, x int, split bool, coef *[400]int) (some bool) {
	top, left := &d.topSome[x], &d.leftSome[0]
	kind, first := 3, 0
	if !split {
		kind, first = 0, 1
		n := d.block(r, 1, int(top[8]+left[8]), 0, q.y2, coef[384:])
		top[8], left[8] = flagOf(n > 0), flagOf(n > 0)
		walsh(coef)
	}
	read := func(kind, first int, q [2]int, t, l *byte, c []int) {
		n := d.block(r, kind, int(*t+*l), first, q, c)
		*t, *l = flagOf(n > first), flagOf(n > first)
		some = some || n > 1 || c[0] != 0
	}
	for i := range 16 {
		read(kind, first, q.y, &top[i%4], &left[i/4], coef[16*i:][:16])
	}
	for i := range 8 {
		at := 4 + i/4*2
		read(2, 0, q.uv, &top[at+i%2], &left[at+i%4/2], coef[256+16*i:][:16])
	}
	return some
}

func flagOf(b bool) byte {
	if b {
		return 1
	}
	return 0
}

var (
	vp8Zigzag = [16]int{0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15}
	vp8Bands  = [17]int{0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0}
	// vp8Extra are the probabilities of the extra bits of large coefficients, which start at 3 + 8<<category.
	vp8Extra = [4][]byte{{173, 148, 140}, {176, 155, 140, 135}, {180, 157, 141, 134, 130}, {254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129}}
)

// block reads the coefficients of a block from number n on and gives where they end.
func (d *vp8) block(r *boolReader, kind, context, n int, q [2]int, c []int) int {
	probs := func(n, context int) []byte { return d.probs[((kind*8+vp8Bands[n])*3+context)*11:][:11] }
	p := probs(n, context)
	for n < 16 {
		if r.bit(int(p[0])) == 0 {
			return n
		}
		for r.bit(int(p[1])) == 0 {
			if n++; n == 16 {
				return 16
			}
			p = probs(n, 0)
		}
		v := 1
		context = 1
		if r.bit(int(p[2])) == 1 {
			v, context = r.large(p), 2
		}
		if r.flag() {
			v = -v
		}
		c[vp8Zigzag[n]] = v * q[min(n, 1)]
		n++
		p = probs(n, context)
	}
	return 16
}

// large reads the size of a coefficient of 2 or more.
func (r *boolReader) large(p []byte) int {
	bit := func(p byte) int { return r.bit(int(p)) }
	if bit(p[3]) == 0 {
		if bit(p[4]) == 0 {
			return 2
		}
		return 3 + bit(p[5])
	}
	if bit(p[6]) == 0 {
		if bit(p[7]) == 0 {
			return 5 + bit(159)
		}
		v := 7 + 2*bit(165)
		return v + bit(145)
	}
	category := 2 * bit(p[8])
	category += bit(p[9+category/2])
	v := 0
	for _, p := range vp8Extra[category] {
		v = 2*v + bit(p)
	}
	return v + 3 + (8 << category)
}

// walsh undoes the transform of the first coefficients of luma (section 14.3).
func walsh(coef *[400]int) {
	in := coef[384:]
	var t [16]int
	for i := range 4 {
		a, b, c, e := in[i]+in[12+i], in[4+i]+in[8+i], in[4+i]-in[8+i], in[i]-in[12+i]
		t[i], t[8+i], t[4+i], t[12+i] = a+b, a-b, e+c, e-c
	}
	for i := range 4 {
		s := t[4*i:]
		a, b, c, e := s[0]+3+s[3], s[1]+s[2], s[1]-s[2], s[0]+3-s[3]
		for j, v := range []int{a + b, e + c, a - b, e - c} {
			coef[16*(4*i+j)] = v >> 3
		}
	}
}
