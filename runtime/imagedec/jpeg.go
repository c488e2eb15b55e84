package imagedec

import "encoding/binary"

// jpeg is a JPEG file being decoded: baseline, extended or progressive, 8 bits, Huffman-coded.
type jpeg struct {
	bitReader
	w, h, size  int
	progressive bool
	quant       [4][64]uint16
	tables      [2][4]*huffman
	comps       []*jpegComp
	hmax, vmax  int
	restart     int
	jfif        bool
	adobe       int // transform of the Adobe marker, -1 without it
	eobRun      int
	scans       int
}

// maxScans bounds the work that a small file can ask for; encoders need a dozen.
const maxScans = 256

// jpegComp is a colour component.
type jpegComp struct {
	id, h, v, quant  int
	w, height        int // samples
	across, down     int // blocks, whole MCUs
	coef             []int16
	dc               int // predictor
	dcTable, acTable int
	pix              []byte // samples, across*8 to a row
}

// zigzag is the order in which the coefficients of a block are stored.
var zigzag = [64]byte{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

func decodeJPEG(b []byte) *Image {
	d := &jpeg{bitReader: bitReader{b: b, pos: 2}, adobe: -1, size: len(b)}
	for d.segment() {
	}
	check(d.scans > 0, "there are no pixels")
	for _, c := range d.comps {
		d.inverse(c)
	}
	return d.colours()
}

// segment reads up to the end of a segment, or of a scan; false at the end of the image.
func (d *jpeg) segment() bool {
	for d.pos < len(d.b) && d.b[d.pos] != 0xff {
		d.pos++
	}
	for d.pos < len(d.b) && d.b[d.pos] == 0xff {
		d.pos++
	}
	if d.pos+1 > len(d.b) {
		return false // as libjpeg, take what there is
	}
	marker := d.b[d.pos]
	d.pos++
	if marker == 0xd9 {
		return false
	}
	if marker == 0 || marker == 1 || marker >= 0xd0 && marker <= 0xd8 {
		return true
	}
	n := int(binary.BigEndian.Uint16(d.b[d.pos:]))
	check(n >= 2 && d.pos+n <= len(d.b), "segment %#x is cut off", marker)
	s := d.b[d.pos+2 : d.pos+n]
	d.pos += n
	switch marker {
	case 0xc0, 0xc1, 0xc2:
		d.progressive = marker == 0xc2
		d.frame(s)
	case 0xc4:
		d.huffmanTables(s)
	case 0xda:
		d.scan(s)
	case 0xdb:
		d.quantTables(s)
	case 0xdd:
		d.restart = int(binary.BigEndian.Uint16(s))
	case 0xe0:
		d.jfif = d.jfif || len(s) >= 5 && string(s[:5]) == "JFIF\x00"
	case 0xee:
		if len(s) >= 12 && string(s[:5]) == "Adobe" {
			d.adobe = int(s[11])
		}
	case 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf:
		fail("coding process %#x is not supported", marker)
	}
	return true
}

func (d *jpeg) frame(s []byte) {
	check(d.comps == nil, "a second frame")
	check(s[0] == 8, "samples of %d bits", s[0])
	d.h, d.w = int(binary.BigEndian.Uint16(s[1:])), int(binary.BigEndian.Uint16(s[3:]))
	checkSize(d.w, d.h, d.size)
	n := int(s[5])
	check(n == 1 || n == 3 || n == 4, "%d components", n)
	for i := range n {
		e := s[6+3*i:]
		c := &jpegComp{id: int(e[0]), h: int(e[1] >> 4), v: int(e[1] & 15), quant: int(e[2])}
		check(c.h >= 1 && c.h <= 4 && c.v >= 1 && c.v <= 4 && c.quant < 4, "component %d with sampling %d x %d", c.id, c.h, c.v)
		d.hmax, d.vmax = max(d.hmax, c.h), max(d.vmax, c.v)
		d.comps = append(d.comps, c)
	}
	mx, my := d.mcus()
	for _, c := range d.comps {
		check(d.hmax%c.h == 0 && d.vmax%c.v == 0, "fractional sampling is not supported")
		c.w, c.height = (d.w*c.h+d.hmax-1)/d.hmax, (d.h*c.v+d.vmax-1)/d.vmax
		c.across, c.down = mx*c.h, my*c.v
		c.coef = make([]int16, c.across*c.down*64)
	}
}

// mcus is the number of MCUs of interleaved scans, across and down.
func (d *jpeg) mcus() (x, y int) {
	return (d.w + 8*d.hmax - 1) / (8 * d.hmax), (d.h + 8*d.vmax - 1) / (8 * d.vmax)
}

func (d *jpeg) quantTables(s []byte) {
	for len(s) > 0 {
		t := &d.quant[s[0]&3]
		wide := s[0]>>4 != 0
		s = s[1:]
		for _, z := range zigzag {
			if wide {
				t[z], s = binary.BigEndian.Uint16(s), s[2:]
			} else {
				t[z], s = uint16(s[0]), s[1:]
			}
		}
	}
}

func (d *jpeg) huffmanTables(s []byte) {
	for len(s) >= 17 {
		n := 0
		for _, c := range s[1:17] {
			n += int(c)
		}
		d.tables[s[0]>>4&1][s[0]&3] = newHuffman(s[1:17], s[17:17+n])
		s = s[17+n:]
	}
}

// huffman decodes codes of up to 16 bits: the largest code of each length, and where its symbols begin.
type huffman struct {
	most, first [18]int
	symbols     []byte
}

func newHuffman(counts, symbols []byte) *huffman {
	t := &huffman{symbols: symbols}
	code, at := 0, 0
	for n := 1; n <= 16; n++ {
		t.first[n] = at - code
		code += int(counts[n-1])
		at += int(counts[n-1])
		t.most[n] = code // exclusive
		check(code <= 1<<n, "malformed Huffman table")
		code <<= 1
	}
	return t
}

// bitReader reads bits of entropy-coded data, where a 0 follows each byte 0xff; past a marker all are 0.
type bitReader struct {
	b         []byte
	pos       int
	acc, have uint
}

func (r *bitReader) bit() int {
	if r.have == 0 {
		r.acc, r.have = 0, 8
		if r.pos < len(r.b) {
			c := r.b[r.pos]
			switch {
			case c != 0xff:
				r.acc, r.pos = uint(c), r.pos+1
			case r.pos+1 < len(r.b) && r.b[r.pos+1] == 0:
				r.acc, r.pos = uint(c), r.pos+2
			}
		}
	}
	r.have--
	return int(r.acc >> r.have & 1)
}

func (r *bitReader) bits(n int) int {
	v := 0
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

// extended reads a signed number of n bits: negative ones are the complement of their size.
func (r *bitReader) extended(n int) int {
	v := r.bits(n)
	if n > 0 && v < 1<<(n-1) {
		v -= 1<<n - 1
	}
	return v
}

func (r *bitReader) symbol(t *huffman) int {
	check(t != nil, "a Huffman table is missing")
	code := 0
	for n := 1; n <= 16; n++ {
		code = code<<1 | r.bit()
		if code < t.most[n] {
			return int(t.symbols[t.first[n]+code])
		}
	}
	return 0 // as libjpeg, a code that is none counts as 0
}

// jpegScan is what a scan codes: coefficients from to to, and their bits high and low.
type jpegScan struct{ from, to, high, low int }

func (d *jpeg) scan(s []byte) {
	check(d.comps != nil, "a scan before the frame")
	n := int(s[0])
	check(n >= 1 && n <= 4, "a scan of %d components", n)
	var comps []*jpegComp
	for i := range n {
		var c *jpegComp
		for _, x := range d.comps {
			if x.id == int(s[1+2*i]) {
				c = x
			}
		}
		check(c != nil, "a scan of component %d", s[1+2*i])
		c.dcTable, c.acTable = int(s[2+2*i]>>4&3), int(s[2+2*i]&3)
		comps = append(comps, c)
	}
	s = s[1+2*n:]
	p := jpegScan{int(s[0]), int(s[1]), int(s[2] >> 4), int(s[2] & 15)}
	block := d.sequential
	if d.progressive {
		check(p.from <= p.to && p.to < 64 && (p.from > 0 || p.to == 0) && (p.from == 0 || n == 1) && p.low < 14, "a malformed scan")
		block = func(c *jpegComp, b []int16) { d.refine(p, c, b) }
	}
	d.scans++
	check(d.scans <= maxScans, "more than %d scans", maxScans)
	d.have, d.eobRun = 0, 0
	for _, c := range comps {
		c.dc = 0
	}
	units, unit := d.units(comps, block)
	for i := range units {
		if d.restart > 0 && i > 0 && i%d.restart == 0 {
			if !d.nextRestart() {
				return
			}
			for _, c := range comps {
				c.dc = 0
			}
		}
		if d.pos >= len(d.b) && d.have == 0 {
			return // as libjpeg, what is missing stays as it is
		}
		unit(i)
	}
	d.have = 0
}

// units gives the number of MCUs of a scan and what decodes one: a scan of one component has blocks of
// its own size only.
func (d *jpeg) units(comps []*jpegComp, block func(c *jpegComp, b []int16)) (int, func(i int)) {
	at := func(c *jpegComp, x, y int) []int16 { return c.coef[(y*c.across+x)*64:][:64] }
	if len(comps) == 1 {
		c := comps[0]
		across, down := (c.w+7)/8, (c.height+7)/8
		return across * down, func(i int) { block(c, at(c, i%across, i/across)) }
	}
	mx, my := d.mcus()
	return mx * my, func(i int) {
		for _, c := range comps {
			for j := range c.h * c.v {
				block(c, at(c, i%mx*c.h+j%c.h, i/mx*c.v+j/c.h))
			}
		}
	}
}

// nextRestart goes to the next restart marker, if one is left of this scan.
func (d *jpeg) nextRestart() bool {
	d.have, d.eobRun = 0, 0
	for ; d.pos+1 < len(d.b); d.pos++ {
		if d.b[d.pos] != 0xff {
			continue
		}
		switch m := d.b[d.pos+1]; {
		case m >= 0xd0 && m <= 0xd7:
			d.pos += 2
			return true
		case m != 0 && m != 0xff:
			return false
		}
	}
	return false
}

// sequential decodes all coefficients of a block.
func (d *jpeg) sequential(c *jpegComp, b []int16) {
	c.dc += d.extended(d.symbol(d.tables[0][c.dcTable]) & 15)
	b[0] = int16(c.dc)
	ac := d.tables[1][c.acTable]
	for k := 1; k < 64; k++ {
		s := d.symbol(ac)
		run, size := s>>4, s&15
		if size == 0 {
			if run < 15 {
				return
			}
			k += 15
			continue
		}
		k += run
		v := d.extended(size)
		if k < 64 {
			b[zigzag[k]] = int16(v)
		}
	}
}

// refine decodes what a progressive scan adds to a block.
func (d *jpeg) refine(p jpegScan, c *jpegComp, b []int16) {
	switch {
	case p.from == 0 && p.high == 0:
		c.dc += d.extended(d.symbol(d.tables[0][c.dcTable]) & 15)
		b[0] = int16(c.dc << p.low)
	case p.from == 0:
		b[0] |= int16(d.bit() << p.low)
	case p.high == 0:
		d.firstAC(p, c, b)
	default:
		d.nextAC(p, c, b)
	}
}

// firstAC decodes the upper bits of coefficients.
func (d *jpeg) firstAC(p jpegScan, c *jpegComp, b []int16) {
	if d.eobRun > 0 {
		d.eobRun--
		return
	}
	ac := d.tables[1][c.acTable]
	for k := p.from; k <= p.to; k++ {
		s := d.symbol(ac)
		run, size := s>>4, s&15
		switch {
		case size > 0:
			k += run
			v := d.extended(size)
			if k < 64 {
				b[zigzag[k]] = int16(v << p.low)
			}
		case run < 15:
			d.eobRun = 1<<run + d.bits(run) - 1
			return
		default:
			k += 15
		}
	}
}

// nextAC decodes one more bit of coefficients: a bit of each that is not 0 yet, and new ones between them.
func (d *jpeg) nextAC(p jpegScan, c *jpegComp, b []int16) {
	one := int16(1) << p.low
	fix := func(v *int16) {
		if d.bit() == 1 && *v&one == 0 {
			if *v >= 0 {
				*v += one
			} else {
				*v -= one
			}
		}
	}
	k := p.from
	if d.eobRun == 0 {
		ac := d.tables[1][c.acTable]
		for k <= p.to {
			s := d.symbol(ac)
			run, v := s>>4, int16(0)
			if s&15 != 0 {
				v = -one
				if d.bit() == 1 {
					v = one
				}
			} else if run < 15 {
				d.eobRun = 1<<run + d.bits(run)
				break
			}
			for ; k <= p.to; k++ {
				if at := &b[zigzag[k]]; *at != 0 {
					fix(at)
				} else if run--; run < 0 {
					*at = v
					break
				}
			}
			k++
		}
	}
	if d.eobRun > 0 {
		for ; k <= p.to; k++ {
			if at := &b[zigzag[k]]; *at != 0 {
				fix(at)
			}
		}
		d.eobRun--
	}
}
