package imagedec

import "math/bits"

// j2kBlock is a code block: what packets have brought of it so far.
type j2kBlock struct {
	rect
	included   bool
	zeroPlanes int
	lengthBits int
	passes     int
	data       []byte
	ends       []j2kSegment // with a codeword for each pass
}

// j2kSegment is a number of passes and the bytes that code them.
type j2kSegment struct{ passes, bytes int }

// tagTree codes numbers of a grid by the minima of groups of four (B.10.2).
type tagTree struct {
	w, h   []int
	levels [][]tagNode
}

type tagNode struct {
	value int
	known bool
}

func newTagTree(w, h int) *tagTree {
	t := &tagTree{}
	for {
		t.w, t.h = append(t.w, w), append(t.h, h)
		t.levels = append(t.levels, make([]tagNode, w*h))
		if w*h <= 1 {
			return t
		}
		w, h = (w+1)/2, (h+1)/2
	}
}

// below reads until it is known whether the number at x, y is below limit, and gives it if it is.
func (t *tagTree) below(r *packetReader, x, y, limit int) (int, bool) {
	low := 0
	for i := len(t.levels) - 1; i >= 0; i-- {
		n := &t.levels[i][y>>i*t.w[i]+x>>i]
		n.value = max(n.value, low)
		for !n.known && n.value < limit {
			if r.bit() == 1 {
				n.known = true
			} else {
				n.value++
			}
		}
		low = n.value
	}
	n := t.levels[0][y*t.w[0]+x]
	return n.value, n.known && n.value < limit
}

// packetReader reads packets: bits of headers, where a 0 is stuffed after 0xff, and bodies.
type packetReader struct {
	b    []byte
	last byte
	acc  byte
	have int
}

func (r *packetReader) bit() int {
	if r.have == 0 {
		r.have = 8
		if r.last == 0xff {
			r.have = 7
		}
		r.acc = 0xff
		check(len(r.b) > 0, "a packet is cut off")
		r.acc, r.b = r.b[0], r.b[1:]
		r.last = r.acc
	}
	r.have--
	return int(r.acc>>r.have) & 1
}

func (r *packetReader) bits(n int) int {
	v := 0
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

// align ends a header.
func (r *packetReader) align() {
	if r.last == 0xff && len(r.b) > 0 {
		r.b = r.b[1:]
	}
	r.have, r.last = 0, 0
}

// passes reads a number of coding passes (table B.4).
func (r *packetReader) passes() int {
	switch {
	case r.bit() == 0:
		return 1
	case r.bit() == 0:
		return 2
	}
	if v := r.bits(2); v < 3 {
		return 3 + v
	}
	if v := r.bits(5); v < 31 {
		return 6 + v
	}
	return 37 + r.bits(7)
}

// marker skips a marker of n bytes if it is there.
func (r *packetReader) marker(code byte, n int) {
	if len(r.b) >= n && r.b[0] == 0xff && r.b[1] == code {
		r.b = r.b[n:]
	}
}

// packet reads a packet: for each code block whether more of it comes, and that.
func (r *packetReader) packet(d *j2k, res *j2kRes, p packet) {
	c := &d.comps[p.comp]
	type part struct {
		b *j2kBlock
		s []j2kSegment
	}
	var parts []part
	if d.sop {
		r.marker(0x91, 6)
	}
	r.have, r.last = 0, 0
	if r.bit() == 1 {
		for _, band := range res.bands {
			q := &band.precincts[p.prec]
			for i := range q.blocks {
				b := &q.blocks[i]
				if s := r.block(q, b, i, p.layer, c.style&4 != 0); s != nil {
					parts = append(parts, part{b, s})
				}
			}
		}
	}
	r.align()
	if d.eph {
		r.marker(0x92, 2)
	}
	for _, x := range parts {
		for _, s := range x.s {
			n := min(s.bytes, len(r.b))
			x.b.data = append(x.b.data, r.b[:n]...)
			r.b = r.b[n:]
			x.b.ends = append(x.b.ends, j2kSegment{s.passes, n})
		}
	}
}

// block reads what a packet's header says of a code block: the lengths of what comes, nil if nothing does.
func (r *packetReader) block(q *j2kPrecinct, b *j2kBlock, i, layer int, each bool) (s []j2kSegment) {
	x, y := i%q.across, i/q.across
	if b.included {
		if r.bit() == 0 {
			return nil
		}
	} else {
		if _, now := q.include.below(r, x, y, layer+1); !now {
			return nil
		}
		b.included = true
		for limit := 1; ; limit++ {
			check(limit < 80, "too many bit planes")
			if v, ok := q.zero.below(r, x, y, limit); ok {
				b.zeroPlanes = v
				break
			}
		}
	}
	n := r.passes()
	for r.bit() == 1 {
		b.lengthBits++
		check(b.lengthBits < 32, "a malformed length")
	}
	b.passes += n
	if !each {
		return []j2kSegment{{n, r.bits(b.lengthBits + bits.Len(uint(n)) - 1)}}
	}
	for range n {
		s = append(s, j2kSegment{1, r.bits(b.lengthBits)})
	}
	return s
}
