package imagedec

// vp8l is a lossless image of WebP being decoded ("WebP Lossless Bitstream Specification").
type vp8l struct {
	b    []byte
	acc  uint64
	have int
	size int // of the file
	past int // bytes read beyond it
}

// argb is a pixel: alpha in the top byte, then red, green and blue.
type argb = uint32

// nearPixels are the places that short distances mean: 8 less what is left in the low half, rows up in the other.
var nearPixels = [120]byte{
	0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39, 0x15, 0x1b, 0x36, 0x3a, 0x25, 0x2b, 0x48, 0x04,
	0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45, 0x4b, 0x34, 0x3c, 0x03, 0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d,
	0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67, 0x69, 0x12, 0x1e, 0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e,
	0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f, 0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e,
	0x00, 0x74, 0x7c, 0x41, 0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d, 0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
}

// lengthOrder is the order of the lengths of the codes of code lengths.
var lengthOrder = [19]int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// losslessTransform is what is to be undone after decoding.
type losslessTransform struct {
	kind, bits, width int
	data              []argb
}

// decodeVP8L decodes the chunk of a lossless image.
func decodeVP8L(b []byte) *Image {
	check(len(b) >= 5 && b[0] == 0x2f, "no lossless image")
	d := &vp8l{b: b[1:], size: len(b)}
	w, h := int(d.bits(14))+1, int(d.bits(14))+1
	d.bits(1)
	check(d.bits(3) == 0, "an unknown version")
	m := newImage(w, h, len(b))
	var todo []losslessTransform
	width := w
	for d.bits(1) == 1 {
		t := losslessTransform{kind: int(d.bits(2)), width: width}
		for _, o := range todo {
			check(o.kind != t.kind, "a transform comes twice")
		}
		switch t.kind {
		case 0, 1:
			t.bits = int(d.bits(3)) + 2
			t.data = d.pixels(blocks(width, t.bits), blocks(h, t.bits), false)
		case 3:
			n := int(d.bits(8)) + 1
			t.data = d.pixels(n, 1, false)
			for i := 1; i < n; i++ {
				t.data[i] = addPixels(t.data[i], t.data[i-1])
			}
			switch {
			case n <= 2:
				t.bits = 3
			case n <= 4:
				t.bits = 2
			case n <= 16:
				t.bits = 1
			}
			width = blocks(width, t.bits)
		}
		todo = append(todo, t)
	}
	pix := d.pixels(width, h, true)
	for i := len(todo) - 1; i >= 0; i-- {
		pix = todo[i].undo(pix, h)
	}
	for i, p := range pix {
		m.set(i, byte(p>>16), byte(p>>8), byte(p))
	}
	return m
}

func blocks(n, bits int) int { return (n + 1<<bits - 1) >> bits }

// bits reads n bits, the least significant first. Past the end all are 0.
func (d *vp8l) bits(n int) uint32 {
	for d.have < n {
		if len(d.b) > 0 {
			d.acc |= uint64(d.b[0]) << d.have
			d.b = d.b[1:]
		} else {
			d.past++
			check(d.past < 1<<16, "the data end too early")
		}
		d.have += 8
	}
	v := uint32(d.acc & (1<<n - 1))
	d.acc >>= n
	d.have -= n
	return v
}

// prefixCode is a canonical Huffman code; one of a single symbol takes no bits.
type prefixCode struct {
	only   int // -1 where there are several
	counts [16]int
	order  []int // symbols by length
}

func newPrefixCode(lengths []int) *prefixCode {
	c := &prefixCode{only: -1}
	for _, n := range lengths {
		c.counts[n]++
	}
	c.counts[0] = 0
	for n := 1; n < 16; n++ {
		for s, l := range lengths {
			if l == n {
				c.order = append(c.order, s)
			}
		}
	}
	check(len(c.order) > 0, "an empty code")
	if len(c.order) == 1 {
		c.only = c.order[0]
		return c
	}
	left := 1
	for n := 1; n < 16; n++ {
		left = 2*left - c.counts[n]
		check(left >= 0, "a code with too many symbols")
	}
	check(left == 0, "an incomplete code")
	return c
}

func (d *vp8l) symbol(c *prefixCode) int {
	if c.only >= 0 {
		return c.only
	}
	code, first, at := 0, 0, 0
	for n := 1; n < 16; n++ {
		code = code<<1 | int(d.bits(1))
		first <<= 1
		if code-first < c.counts[n] {
			return c.order[at+code-first]
		}
		at += c.counts[n]
		first += c.counts[n]
	}
	fail("a code that is none")
	return 0
}

// code reads a code for n symbols.
func (d *vp8l) code(n int) *prefixCode {
	if d.bits(1) == 1 {
		two := d.bits(1) == 1
		width := 1
		if d.bits(1) == 1 {
			width = 8
		}
		lengths := make([]int, max(n, 256))
		lengths[d.bits(width)] = 1
		if two {
			lengths[d.bits(8)] = 1
		}
		return newPrefixCode(lengths[:n])
	}
	var of [19]int
	for i := range int(d.bits(4)) + 4 {
		of[lengthOrder[i]] = int(d.bits(3))
	}
	lens := newPrefixCode(of[:])
	left := n
	if d.bits(1) == 1 {
		left = 2 + int(d.bits(2+2*int(d.bits(3))))
	}
	lengths, last := make([]int, 0, n), 8
	for ; left > 0 && len(lengths) < n; left-- {
		s, count := d.symbol(lens), 1
		v := s
		switch s {
		case 16:
			v, count = last, 3+int(d.bits(2))
		case 17:
			v, count = 0, 3+int(d.bits(3))
		case 18:
			v, count = 0, 11+int(d.bits(7))
		}
		if s > 0 && s < 16 {
			last = s
		}
		check(len(lengths)+count <= n, "too many code lengths")
		for range count {
			lengths = append(lengths, v)
		}
	}
	return newPrefixCode(append(lengths, make([]int, n-len(lengths))...))
}

// pixels decodes an image. One that is not whole serves a transform, or says where which codes hold.
func (d *vp8l) pixels(w, h int, whole bool) []argb {
	checkSize(w, h, d.size)
	cacheBits, cacheSize := 0, 0
	if d.bits(1) == 1 {
		cacheBits = int(d.bits(4))
		check(cacheBits >= 1 && cacheBits <= 11, "a cache of 2^%d colours", cacheBits)
		cacheSize = 1 << cacheBits
	}
	var groupOf []argb
	groupBits, groups := 0, 1
	if whole && d.bits(1) == 1 {
		groupBits = int(d.bits(3)) + 2
		groupOf = d.pixels(blocks(w, groupBits), blocks(h, groupBits), false)
		for i, p := range groupOf {
			groupOf[i] = p >> 8 & 0xffff
			groups = max(groups, int(groupOf[i])+1)
		}
	}
	codes := make([][5]*prefixCode, groups)
	for i := range codes {
		for j, n := range [5]int{280 + cacheSize, 256, 256, 256, 40} {
			codes[i][j] = d.code(n)
		}
	}
	cache := make([]argb, cacheSize)
	out := make([]argb, 0, w*h)
	put := func(p argb) {
		out = append(out, p)
		if cacheSize > 0 {
			cache[p*0x1e35a7bd>>(32-cacheBits)] = p
		}
	}
	for len(out) < w*h {
		c := &codes[0]
		if groupOf != nil {
			c = &codes[groupOf[len(out)/w>>groupBits*blocks(w, groupBits)+len(out)%w>>groupBits]]
		}
		switch s := d.symbol(c[0]); {
		case s < 256:
			r, b, a := d.symbol(c[1]), d.symbol(c[2]), d.symbol(c[3])
			put(argb(a)<<24 | argb(r)<<16 | argb(s)<<8 | argb(b))
		case s < 280:
			n := d.number(s - 256)
			back := d.distance(d.number(d.symbol(c[4])), w)
			check(back <= len(out) && n <= w*h-len(out), "a copy from outside of the image")
			for range n {
				put(out[len(out)-back])
			}
		default:
			put(cache[s-280])
		}
	}
	return out
}

// number reads what is left of a number that begins with a symbol.
func (d *vp8l) number(s int) int {
	if s < 4 {
		return s + 1
	}
	extra := (s - 2) >> 1
	return (2+s&1)<<extra + int(d.bits(extra)) + 1
}

// distance turns the code of a distance into pixels; short ones mean places nearby.
func (d *vp8l) distance(code, w int) int {
	if code > len(nearPixels) {
		return code - len(nearPixels)
	}
	p := int(nearPixels[code-1])
	return max(1, p>>4*w+8-p&15)
}

// each makes a pixel of the bytes that f gives for those of two.
func each(a, b argb, f func(x, y int) int) argb {
	var p argb
	for s := 0; s < 32; s += 8 {
		p |= argb(byte(f(int(byte(a>>s)), int(byte(b>>s))))) << s
	}
	return p
}

func addPixels(a, b argb) argb {
	return each(a, b, func(x, y int) int { return x + y })
}

func meanPixel(a, b argb) argb {
	return each(a, b, func(x, y int) int { return (x + y) / 2 })
}

// undo undoes a transform.
func (t *losslessTransform) undo(pix []argb, h int) []argb {
	w := t.width
	switch t.kind {
	case 0:
		for i := range pix {
			pix[i] = addPixels(pix[i], t.predicted(pix, i))
		}
	case 1:
		for i, p := range pix {
			m := t.data[i/w>>t.bits*blocks(w, t.bits)+i%w>>t.bits]
			times := func(a, b argb) argb { return argb(int(int8(a)) * int(int8(b)) >> 5) }
			green := p >> 8
			red := p>>16 + times(m, green)
			blue := p + times(m>>8, green) + times(m>>16, red)
			pix[i] = p&0xff00ff00 | red&0xff<<16 | blue&0xff
		}
	case 2:
		for i, p := range pix {
			g := p >> 8 & 0xff
			pix[i] = addPixels(p, g<<16|g)
		}
	default:
		out := make([]argb, w*h)
		packed, width := blocks(w, t.bits), 8>>t.bits
		for i := range out {
			x := i % w
			index := int(pix[i/w*packed+x>>t.bits]>>8&0xff) >> (x & (1<<t.bits - 1) * width) & (1<<width - 1)
			if index < len(t.data) {
				out[i] = t.data[index]
			}
		}
		return out
	}
	return pix
}

// predicted is what the neighbours of pixel i, which are done, let expect.
func (t *losslessTransform) predicted(pix []argb, i int) argb {
	w := t.width
	x, y := i%w, i/w
	switch {
	case i == 0:
		return 0xff000000
	case y == 0:
		return pix[i-1]
	case x == 0:
		return pix[i-w]
	}
	left, up, corner, right := pix[i-1], pix[i-w], pix[i-w-1], pix[i-w+1]
	switch t.data[y>>t.bits*blocks(w, t.bits)+x>>t.bits] >> 8 & 15 {
	case 1:
		return left
	case 2:
		return up
	case 3:
		return right
	case 4:
		return corner
	case 5:
		return meanPixel(meanPixel(left, right), up)
	case 6:
		return meanPixel(left, corner)
	case 7:
		return meanPixel(left, up)
	case 8:
		return meanPixel(corner, up)
	case 9:
		return meanPixel(up, right)
	case 10:
		return meanPixel(meanPixel(left, corner), meanPixel(up, right))
	case 11:
		far := 0
		each(left, corner, func(a, b int) int { far += abs(a - b); return 0 })
		each(up, corner, func(a, b int) int { far -= abs(a - b); return 0 })
		if far <= 0 {
			return up
		}
		return left
	case 12:
		sum := [4]int{}
		j := 0
		each(left, up, func(a, b int) int { sum[j] = a + b; j++; return 0 })
		j = 0
		return each(corner, 0, func(c, _ int) int { j++; return int(clamp8(sum[j-1] - c)) })
	case 13:
		return each(meanPixel(left, up), corner, func(a, b int) int { return int(clamp8(a + (a-b)/2)) })
	}
	return 0xff000000
}
