package imagedec

// mqStates are the states of the arithmetic decoder (table C.2): probability, next states, switch.
var mqStates = [47]struct {
	qe       uint32
	mps, lps byte
	flip     bool
}{
	{0x5601, 1, 1, true}, {0x3401, 2, 6, false}, {0x1801, 3, 9, false}, {0x0ac1, 4, 12, false}, {0x0521, 5, 29, false}, {0x0221, 38, 33, false},
	{0x5601, 7, 6, true}, {0x5401, 8, 14, false}, {0x4801, 9, 14, false}, {0x3801, 10, 14, false}, {0x3001, 11, 17, false}, {0x2401, 12, 18, false},
	{0x1c01, 13, 20, false}, {0x1601, 29, 21, false}, {0x5601, 15, 14, true}, {0x5401, 16, 14, false}, {0x5101, 17, 15, false}, {0x4801, 18, 16, false},
	{0x3801, 19, 17, false}, {0x3401, 20, 18, false}, {0x3001, 21, 19, false}, {0x2801, 22, 19, false}, {0x2401, 23, 20, false}, {0x2201, 24, 21, false},
	{0x1c01, 25, 22, false}, {0x1801, 26, 23, false}, {0x1601, 27, 24, false}, {0x1401, 28, 25, false}, {0x1201, 29, 26, false}, {0x1101, 30, 27, false},
	{0x0ac1, 31, 28, false}, {0x09c1, 32, 29, false}, {0x08a1, 33, 30, false}, {0x0521, 34, 31, false}, {0x0441, 35, 32, false}, {0x02a1, 36, 33, false},
	{0x0221, 37, 34, false}, {0x0141, 38, 35, false}, {0x0111, 39, 36, false}, {0x0085, 40, 37, false}, {0x0049, 41, 38, false}, {0x0025, 42, 39, false},
	{0x0015, 43, 40, false}, {0x0009, 44, 41, false}, {0x0005, 45, 42, false}, {0x0001, 45, 43, false}, {0x5601, 46, 46, false},
}

// The contexts of coefficients: 9 of significance, 5 of signs, 3 of refinement, of runs, and even.
const (
	ctxSign, ctxRefine, ctxRun, ctxEven = 9, 14, 17, 18
)

// mq is the arithmetic decoder of annex C.
type mq struct {
	b     []byte
	pos   int
	c, a  uint32
	ct    int
	state [19]byte
	mps   [19]byte
}

// reset sets the contexts to what they are at first.
func (m *mq) reset() {
	m.state, m.mps = [19]byte{}, [19]byte{}
	m.state[0], m.state[ctxRun], m.state[ctxEven] = 4, 3, 46
}

func (m *mq) at(i int) byte {
	if i < len(m.b) {
		return m.b[i]
	}
	return 0xff
}

// start begins to decode b.
func (m *mq) start(b []byte) {
	m.b, m.pos = b, 0
	m.c = uint32(m.at(0)) << 16
	m.next()
	m.c <<= 7
	m.ct -= 7
	m.a = 0x8000
}

// next takes in a byte.
func (m *mq) next() {
	switch {
	case m.at(m.pos) != 0xff:
		m.pos++
		m.c += uint32(m.at(m.pos)) << 8
		m.ct = 8
	case m.at(m.pos+1) > 0x8f:
		m.c += 0xff00
		m.ct = 8
	default:
		m.pos++
		m.c += uint32(m.at(m.pos)) << 9
		m.ct = 7
	}
}

// bit decodes a bit in a context.
func (m *mq) bit(ctx int) int {
	s := &mqStates[m.state[ctx]]
	d := m.mps[ctx]
	m.a -= s.qe
	likely := true
	if m.c>>16 < s.qe {
		likely = m.a < s.qe
		m.a = s.qe
	} else {
		m.c -= s.qe << 16
		if m.a&0x8000 != 0 {
			return int(d)
		}
		likely = m.a >= s.qe
	}
	if likely {
		m.state[ctx] = s.mps
	} else {
		if s.flip {
			m.mps[ctx] = 1 - d
		}
		d = 1 - d
		m.state[ctx] = s.lps
	}
	for {
		if m.ct == 0 {
			m.next()
		}
		m.a <<= 1
		m.c <<= 1
		m.ct--
		if m.a&0x8000 != 0 {
			return int(d)
		}
	}
}

// blockDecoder decodes the bit planes of a code block (annex D). Arrays have a border of one.
type blockDecoder struct {
	mq
	w, h, stride int
	kind         int
	value        []int32 // magnitudes, with one fractional bit
	sign         []int8  // 1 or -1 where significant, else 0
	seen         []bool  // in this plane
	refined      []bool
}

// decode decodes the code blocks of a band.
func (b *j2kBand) decode(c *j2kComp) {
	for i := range b.precincts {
		for j := range b.precincts[i].blocks {
			k := &b.precincts[i].blocks[j]
			if k.passes == 0 {
				continue
			}
			d := &blockDecoder{w: k.w(), h: k.h(), kind: b.kind}
			d.run(k, b.planes-k.zeroPlanes, c.style)
			for y := range d.h {
				for x := range d.w {
					at := (y+1)*d.stride + x + 1
					v := float32(d.value[at]) * b.step / 2
					if c.reversible {
						v = float32(d.value[at] / 2)
					}
					b.coef[(k.y0-b.y0+y)*b.w()+k.x0-b.x0+x] = v * float32(d.sign[at])
				}
			}
		}
	}
}

// run decodes the passes of a block of so many bit planes: of the first plane the last pass only.
func (d *blockDecoder) run(k *j2kBlock, planes, style int) {
	check(planes <= 31, "%d bit planes", planes)
	d.stride = d.w + 2
	n := d.stride * (d.h + 2)
	d.value, d.sign, d.seen, d.refined = make([]int32, n), make([]int8, n), make([]bool, n), make([]bool, n)
	d.reset()
	each := style&4 != 0
	data, ends := k.data, k.ends
	if !each {
		d.start(data)
	}
	kind, plane := 2, planes-1
	for range k.passes {
		if plane < 0 {
			return
		}
		if each {
			if len(ends) == 0 {
				return
			}
			d.start(data[:ends[0].bytes])
			data, ends = data[ends[0].bytes:], ends[1:]
		}
		one := int32(1) << (plane + 1)
		switch kind {
		case 0:
			d.stripes(func(at int) { d.significance(at, one) })
		case 1:
			d.stripes(func(at int) { d.refinement(at, one) })
		default:
			d.cleanup(one)
			if style&32 != 0 {
				for range 4 {
					d.bit(ctxEven)
				}
			}
		}
		if style&2 != 0 {
			d.reset()
		}
		if kind++; kind == 3 {
			kind, plane = 0, plane-1
		}
	}
}

// stripes visits all coefficients: stripes of four rows, columns from the top down.
func (d *blockDecoder) stripes(visit func(at int)) {
	for y0 := 0; y0 < d.h; y0 += 4 {
		for x := range d.w {
			for y := y0; y < min(y0+4, d.h); y++ {
				visit((y+1)*d.stride + x + 1)
			}
		}
	}
}

// context is that of significance, from the neighbours that are significant.
func (d *blockDecoder) context(at int) int {
	on := func(i int) int { return int(d.sign[i] & 1) }
	h, v := on(at-1)+on(at+1), on(at-d.stride)+on(at+d.stride)
	g := on(at-d.stride-1) + on(at-d.stride+1) + on(at+d.stride-1) + on(at+d.stride+1)
	if d.kind == 1 {
		h, v = v, h
	}
	if d.kind == 3 {
		switch hv := h + v; {
		case g >= 3:
			return 8
		case g == 2:
			return 6 + min(hv, 1)
		case g == 1:
			return 3 + min(hv, 2)
		default:
			return min(hv, 2)
		}
	}
	switch {
	case h == 2:
		return 8
	case h == 1 && v >= 1:
		return 7
	case h == 1:
		return 5 + min(g, 1)
	case v > 0:
		return 2 + v
	}
	return min(g, 2)
}

// become makes a coefficient significant: its sign is coded relative to those of its neighbours.
func (d *blockDecoder) become(at int, one int32) {
	side := func(a, b int8) int { return min(max(int(a)+int(b), -1), 1) }
	h, v := side(d.sign[at-1], d.sign[at+1]), side(d.sign[at-d.stride], d.sign[at+d.stride])
	flip := 0
	if h < 0 || h == 0 && v < 0 {
		h, v, flip = -h, -v, 1
	}
	ctx := ctxSign + v
	if h > 0 {
		ctx = ctxSign + 3 + v
	}
	d.sign[at] = int8(1 - 2*(d.bit(ctx)^flip))
	d.value[at] = one | one>>1
}

func (d *blockDecoder) significance(at int, one int32) {
	if d.sign[at] != 0 {
		return
	}
	ctx := d.context(at)
	if ctx == 0 {
		return
	}
	if d.bit(ctx) == 1 {
		d.become(at, one)
	}
	d.seen[at] = true
}

func (d *blockDecoder) refinement(at int, one int32) {
	if d.sign[at] == 0 || d.seen[at] {
		return
	}
	ctx := ctxRefine + 2
	if !d.refined[at] {
		ctx = ctxRefine + min(d.context(at), 1)
	}
	d.refined[at] = true
	if d.bit(ctx) == 1 {
		d.value[at] += one >> 1
	} else {
		d.value[at] -= one >> 1
	}
}

// cleanup decodes what the other passes left. Four in a column with nothing around them are a run.
func (d *blockDecoder) cleanup(one int32) {
	for y0 := 0; y0 < d.h; y0 += 4 {
		for x := range d.w {
			y, at := y0, (y0+1)*d.stride+x+1
			if y0+4 <= d.h && d.quiet(at) {
				if d.bit(ctxRun) == 0 {
					continue
				}
				n := d.bit(ctxEven)<<1 | d.bit(ctxEven)
				y, at = y+n, at+n*d.stride
				d.become(at, one)
				y, at = y+1, at+d.stride
			}
			for ; y < min(y0+4, d.h); y, at = y+1, at+d.stride {
				if d.sign[at] == 0 && !d.seen[at] && d.bit(d.context(at)) == 1 {
					d.become(at, one)
				}
			}
		}
	}
	clear(d.seen)
}

// quiet reports whether four coefficients from at down have no significant neighbours.
func (d *blockDecoder) quiet(at int) bool {
	for range 4 {
		if d.sign[at] != 0 || d.seen[at] || d.context(at) != 0 {
			return false
		}
		at += d.stride
	}
	return true
}
