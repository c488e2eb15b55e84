package imagedec

// pnmReader reads the numbers of a portable any-map.
type pnmReader struct {
	b   []byte
	pos int
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// skip skips white space and comments.
func (r *pnmReader) skip() {
	for r.pos < len(r.b) {
		switch c := r.b[r.pos]; {
		case c == '#':
			for r.pos < len(r.b) && r.b[r.pos] != '\n' {
				r.pos++
			}
		case !isSpace(c):
			return
		default:
			r.pos++
		}
	}
}

func (r *pnmReader) number() int {
	r.skip()
	n, start := 0, r.pos
	for ; r.pos < len(r.b) && r.b[r.pos] >= '0' && r.b[r.pos] <= '9'; r.pos++ {
		n = n*10 + int(r.b[r.pos]-'0')
		check(n < 1<<30, "a number is too large")
	}
	check(r.pos > start, "a number is missing")
	return n
}

// bit reads one digit of a plain bit map.
func (r *pnmReader) bit() int {
	r.skip()
	c := r.b[r.pos]
	r.pos++
	check(c == '0' || c == '1', "a bit is %q", c)
	return int(c - '0')
}

// decodePNM decodes P1 to P6: bit, grey and pixel maps, as text (the first three) or binary.
func decodePNM(b []byte) *Image {
	kind := int(b[1] - '0')
	r := &pnmReader{b: b, pos: 2}
	w, h, most := r.number(), r.number(), 1
	bitmap := kind == 1 || kind == 4
	if !bitmap {
		most = r.number()
		check(most >= 1 && most < 1<<16, "a maximum of %d", most)
	}
	m := newImage(w, h, len(b))
	channels := 1
	if kind == 3 || kind == 6 {
		channels = 3
	}
	if kind > 3 {
		r.pos++ // the single space after the header
	}
	scaled := func(v int) byte {
		if most == 255 {
			return byte(v)
		}
		return byte((min(v, most)*255 + most/2) / most)
	}
	sample := func(x, y, c int) byte {
		switch {
		case kind == 1:
			return byte(255 * (1 - r.bit()))
		case kind == 4:
			v := r.b[r.pos+y*((w+7)/8)+x/8]
			return 255 * (1 - v>>(7-x%8)&1)
		case kind < 4:
			v := r.number()
			check(v <= most, "a sample of %d of %d", v, most)
			return scaled(v)
		}
		i := (y*w+x)*channels + c
		if most > 255 {
			return scaled(int(r.b[r.pos+2*i])<<8 | int(r.b[r.pos+2*i+1]))
		}
		return scaled(int(r.b[r.pos+i]))
	}
	for i := range w * h {
		var v [3]byte
		for c := range channels {
			v[c] = sample(i%w, i/w, c)
		}
		if channels == 1 {
			v[1], v[2] = v[0], v[0]
		}
		m.set(i, v[0], v[1], v[2])
	}
	return m
}
