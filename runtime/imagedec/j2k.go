package imagedec

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// j2k is a JPEG 2000 codestream being decoded (ITU-T T.800).
type j2k struct {
	x0, y0, x1, y1 int // of the image on the reference grid
	tw, th, tx, ty int // size and origin of tiles
	comps          []j2kComp
	progression    int
	layers         int
	transformed    bool // colours
	sop, eph       bool
	tiles          map[int][]byte
	size           int
	packets        int // so far, of all tiles
	precincts      int
}

// maxPackets bounds the packets, and the precincts, of an image.
const maxPackets = 1 << 20

// j2kComp is a component: its samples, and how it is coded.
type j2kComp struct {
	depth      int
	signed     bool
	dx, dy     int
	x0, y0     int
	w, h       int
	levels     int
	cbw, cbh   int // log2 of the size of code blocks
	style      int
	reversible bool
	precincts  []byte // log2 of width and height, by resolution; nil for 15
	guard      int
	quant      int // 0 none, 1 derived, 2 for each band
	steps      []int
	pix        []float32
}

// decodeJ2K decodes a bare codestream, or the one in a JP2 file.
func decodeJ2K(b []byte) *Image {
	d := &j2k{tiles: map[int][]byte{}, size: len(b)}
	if b[0] == 0 {
		b = jp2Codestream(b)
	}
	d.markers(b[2:])
	across := (d.x1 - d.tx + d.tw - 1) / d.tw
	down := (d.y1 - d.ty + d.th - 1) / d.th
	for i, data := range d.tiles {
		check(i < across*down, "tile %d of %d", i, across*down)
		d.tile(i%across, i/across, data)
	}
	return d.image()
}

// jp2Codestream finds the codestream among the boxes of a file.
func jp2Codestream(b []byte) []byte {
	for len(b) >= 8 {
		n, head := int(binary.BigEndian.Uint32(b)), 8
		if n == 1 {
			n, head = int(binary.BigEndian.Uint64(b[8:])), 16
		}
		if n == 0 {
			n = len(b)
		}
		check(n >= head && n <= len(b), "a box of %d bytes is cut off", n)
		if string(b[4:8]) == "jp2c" {
			check(n > head+2, "the codestream is empty")
			return b[head:n]
		}
		b = b[n:]
	}
	fail("there is no codestream")
	return nil
}

// markers reads the headers and gathers the data of each tile.
func (d *j2k) markers(b []byte) {
	be := binary.BigEndian
	for len(b) >= 4 {
		marker, n := be.Uint16(b), int(be.Uint16(b[2:]))
		check(n >= 2 && n+2 <= len(b), "segment %#x is cut off", marker)
		s := b[4 : 2+n]
		check(d.comps != nil || marker == 0xff51, "the size is missing")
		switch marker {
		case 0xff51:
			d.sizes(s)
		case 0xff52:
			d.sop, d.eph = s[0]&2 != 0, s[0]&4 != 0
			d.progression, d.layers, d.transformed = int(s[1]), int(be.Uint16(s[2:])), s[4] == 1
			for i := range d.comps {
				d.comps[i].coding(s[0], s[5:])
			}
		case 0xff53:
			i, s := d.component(s)
			d.comps[i].coding(s[0], s[1:])
		case 0xff5c:
			for i := range d.comps {
				d.comps[i].quantization(s)
			}
		case 0xff5d:
			i, s := d.component(s)
			d.comps[i].quantization(s)
		case 0xff5e, 0xff5f, 0xff60, 0xff61:
			fail("segment %#x is not supported", marker)
		case 0xff90:
			b = d.tilePart(b, s)
			continue
		}
		b = b[2+n:]
	}
}

func (d *j2k) component(s []byte) (int, []byte) {
	if len(d.comps) < 257 {
		return int(s[0]), s[1:]
	}
	return int(binary.BigEndian.Uint16(s)), s[2:]
}

// tilePart adds the data of a tile part and gives what follows it. Parameters of single tiles are refused.
func (d *j2k) tilePart(b, s []byte) []byte {
	be := binary.BigEndian
	i, n := int(be.Uint16(s)), int(be.Uint32(s[2:]))
	if n == 0 || n > len(b) { // up to the end, as far as it goes
		n = len(b)
	}
	at := 12
	for {
		marker := be.Uint16(b[at:])
		if marker == 0xff93 {
			break
		}
		check(marker == 0xff64 || marker == 0xff58, "segment %#x in a tile is not supported", marker)
		at += 2 + int(be.Uint16(b[at+2:]))
	}
	check(at+2 <= n, "a tile part is cut off")
	d.tiles[i] = append(d.tiles[i], b[at+2:n]...)
	return b[n:]
}

func (d *j2k) sizes(s []byte) {
	check(d.comps == nil && len(s) >= 36, "a malformed size")
	var v [8]int
	for i := range v {
		v[i] = int(binary.BigEndian.Uint32(s[2+4*i:]))
	}
	d.x1, d.y1, d.x0, d.y0, d.tw, d.th, d.tx, d.ty = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
	checkSize(d.x1-d.x0, d.y1-d.y0, d.size)
	check(d.tw > 0 && d.th > 0 && d.tx <= d.x0 && d.ty <= d.y0 && d.tx+d.tw > d.x0 && d.ty+d.th > d.y0, "malformed tiles")
	n := int(binary.BigEndian.Uint16(s[34:]))
	check(n >= 1 && n <= 4 && len(s) >= 36+3*n, "%d components", n)
	for i := range n {
		e := s[36+3*i:]
		c := j2kComp{depth: int(e[0]&127) + 1, signed: e[0]&128 != 0, dx: int(e[1]), dy: int(e[2])}
		check(c.depth <= 16 && c.dx > 0 && c.dy > 0, "a component of %d bits, every %d x %d", c.depth, c.dx, c.dy)
		c.x0, c.y0 = ceilDiv(d.x0, c.dx), ceilDiv(d.y0, c.dy)
		c.w, c.h = ceilDiv(d.x1, c.dx)-c.x0, ceilDiv(d.y1, c.dy)-c.y0
		check(c.w > 0 && c.h > 0, "an empty component")
		c.pix = make([]float32, c.w*c.h)
		d.comps = append(d.comps, c)
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// coding reads the coding style of a component; flag 1 of the style says that precincts are given.
func (c *j2kComp) coding(style byte, s []byte) {
	c.levels, c.cbw, c.cbh, c.style, c.reversible = int(s[0]), int(s[1])+2, int(s[2])+2, int(s[3]), s[4] == 1
	check(c.levels <= 32 && c.cbw <= 10 && c.cbh <= 10 && c.cbw+c.cbh <= 12, "%d levels, code blocks of 2^%d x 2^%d", c.levels, c.cbw, c.cbh)
	check(c.style&^0x36 == 0, "code block style %#x is not supported", c.style)
	c.precincts = nil
	if style&1 != 0 {
		c.precincts = s[5 : 6+c.levels]
	}
}

func (c *j2kComp) quantization(s []byte) {
	c.quant, c.guard, c.steps = int(s[0]&31), int(s[0]>>5), nil
	check(c.quant <= 2, "quantisation style %d", c.quant)
	for s = s[1:]; len(s) > 0; {
		if c.quant == 0 {
			c.steps, s = append(c.steps, int(s[0]>>3)<<11), s[1:]
		} else {
			c.steps, s = append(c.steps, int(binary.BigEndian.Uint16(s))), s[2:]
		}
	}
}

// step is the exponent and mantissa of band b of resolution r.
func (c *j2kComp) step(r, b int) (exponent, mantissa int) {
	i := 0
	if r > 0 {
		i = 3*r - 2 + b
	}
	if c.quant == 1 {
		return c.steps[0]>>11 - max(r-1, 0), c.steps[0] & 0x7ff
	}
	return c.steps[i] >> 11, c.steps[i] & 0x7ff
}

// rect is a region.
type rect struct{ x0, y0, x1, y1 int }

func (r rect) w() int { return max(r.x1-r.x0, 0) }
func (r rect) h() int { return max(r.y1-r.y0, 0) }

func (r rect) meet(s rect) rect {
	return rect{max(r.x0, s.x0), max(r.y0, s.y0), min(r.x1, s.x1), min(r.y1, s.y1)}
}

// j2kRes is a resolution of a component of a tile.
type j2kRes struct {
	rect
	bands        []*j2kBand
	precW, precH int // log2
	across, down int // precincts
}

// j2kBand is a subband; its precincts hold code blocks.
type j2kBand struct {
	rect
	kind      int // bit 0: high pass along x, bit 1: along y
	planes    int // of magnitude
	step      float32
	precincts []j2kPrecinct
	coef      []float32
}

// j2kPrecinct is the part of a band that a packet speaks of.
type j2kPrecinct struct {
	blocks        []j2kBlock
	across, down  int
	include, zero *tagTree
}

// packet numbers a packet and says where it is.
type packet struct{ layer, res, comp, prec, x, y int }

// tile decodes a tile.
func (d *j2k) tile(tx, ty int, data []byte) {
	whole := rect{max(d.tx+tx*d.tw, d.x0), max(d.ty+ty*d.th, d.y0), min(d.tx+(tx+1)*d.tw, d.x1), min(d.ty+(ty+1)*d.th, d.y1)}
	all := make([][]*j2kRes, len(d.comps))
	var packets []packet
	for i := range d.comps {
		all[i] = d.resolutions(&d.comps[i], whole)
		for r, res := range all[i] {
			shift := d.comps[i].levels - r
			for p := range res.across * res.down {
				x, y := (res.x0>>res.precW+p%res.across)<<(res.precW+shift)*d.comps[i].dx, (res.y0>>res.precH+p/res.across)<<(res.precH+shift)*d.comps[i].dy
				for l := range d.layers {
					packets = append(packets, packet{l, r, i, p, max(x, whole.x0), max(y, whole.y0)})
				}
				check(d.packets+len(packets) <= maxPackets, "there are too many packets")
			}
		}
	}
	d.packets += len(packets)
	d.order(packets)
	r := &packetReader{b: data}
	for _, p := range packets {
		if len(r.b) == 0 {
			break // the rest is cut off: what there is, is an image of less quality
		}
		r.packet(d, all[p.comp][p.res], p)
	}
	for i := range d.comps {
		c := &d.comps[i]
		for _, res := range all[i] {
			for _, b := range res.bands {
				b.decode(c)
			}
		}
		out := c.synthesize(all[i])
		at := all[i][c.levels].rect
		for y := range at.h() {
			copy(c.pix[(at.y0-c.y0+y)*c.w+at.x0-c.x0:][:at.w()], out[y*at.w():])
		}
	}
}

// order sorts packets by the progression.
func (d *j2k) order(p []packet) {
	keys := []func(a packet) [6]int{
		func(a packet) [6]int { return [6]int{a.layer, a.res, a.comp, a.prec} },
		func(a packet) [6]int { return [6]int{a.res, a.layer, a.comp, a.prec} },
		func(a packet) [6]int { return [6]int{a.res, a.y, a.x, a.comp, a.prec, a.layer} },
		func(a packet) [6]int { return [6]int{a.y, a.x, a.comp, a.res, a.prec, a.layer} },
		func(a packet) [6]int { return [6]int{a.comp, a.y, a.x, a.res, a.prec, a.layer} },
	}
	check(d.progression < len(keys), "progression %d", d.progression)
	key := keys[d.progression]
	slices.SortStableFunc(p, func(a, b packet) int {
		x, y := key(a), key(b)
		for i := range x {
			if c := cmp.Compare(x[i], y[i]); c != 0 {
				return c
			}
		}
		return 0
	})
}

// resolutions lays out a component of a tile (annex B).
func (d *j2k) resolutions(c *j2kComp, tile rect) []*j2kRes {
	t := rect{ceilDiv(tile.x0, c.dx), ceilDiv(tile.y0, c.dy), ceilDiv(tile.x1, c.dx), ceilDiv(tile.y1, c.dy)}
	up := func(v, n int) int { return (v + 1<<n - 1) >> n }
	var all []*j2kRes
	for r := range c.levels + 1 {
		n := c.levels - r
		res := &j2kRes{rect: rect{up(t.x0, n), up(t.y0, n), up(t.x1, n), up(t.y1, n)}, precW: 15, precH: 15}
		if c.precincts != nil {
			res.precW, res.precH = int(c.precincts[r]&15), int(c.precincts[r]>>4)
			check(r == 0 || res.precW > 0 && res.precH > 0, "precincts of a pixel")
		}
		if res.w() > 0 && res.h() > 0 {
			res.across, res.down = up(res.x1, res.precW)-res.x0>>res.precW, up(res.y1, res.precH)-res.y0>>res.precH
		}
		d.precincts += res.across * res.down
		check(d.precincts <= maxPackets, "there are too many precincts")
		kinds, half := []int{0}, 0
		if r > 0 {
			kinds, half, n = []int{1, 2, 3}, 1, n+1
		}
		for i, kind := range kinds {
			at := func(v, high int) int { return up(v-high<<n>>1, n) }
			b := &j2kBand{kind: kind, rect: rect{at(t.x0, kind&1), at(t.y0, kind>>1), at(t.x1, kind&1), at(t.y1, kind>>1)}}
			exponent, mantissa := c.step(r, i)
			b.planes, b.step = c.guard+exponent-1, 1
			check(b.planes < 31, "%d bit planes", b.planes)
			if !c.reversible {
				gain := kind&1 + kind>>1
				b.step = float32(math.Ldexp(1+float64(mantissa)/2048, c.depth+gain-exponent))
			}
			b.split(c, res, half)
			res.bands = append(res.bands, b)
		}
		all = append(all, res)
	}
	return all
}

// split divides a band into precincts and code blocks.
func (b *j2kBand) split(c *j2kComp, res *j2kRes, half int) {
	b.coef = make([]float32, b.w()*b.h())
	pw, ph := res.precW-half, res.precH-half
	cw, ch := min(c.cbw, pw), min(c.cbh, ph)
	px, py := res.x0>>res.precW, res.y0>>res.precH
	for i := range res.across * res.down {
		x, y := (px+i%res.across)<<pw, (py+i/res.across)<<ph
		r := b.rect.meet(rect{x, y, x + 1<<pw, y + 1<<ph})
		var p j2kPrecinct
		if r.w() > 0 && r.h() > 0 {
			bx, by := r.x0>>cw, r.y0>>ch
			p.across, p.down = (r.x1-1)>>cw-bx+1, (r.y1-1)>>ch-by+1
			for j := range p.across * p.down {
				x, y := (bx+j%p.across)<<cw, (by+j/p.across)<<ch
				p.blocks = append(p.blocks, j2kBlock{rect: r.meet(rect{x, y, x + 1<<cw, y + 1<<ch}), lengthBits: 3})
			}
			p.include, p.zero = newTagTree(p.across, p.down), newTagTree(p.across, p.down)
		}
		b.precincts = append(b.precincts, p)
	}
}

// image converts the components to 8 bits.
func (d *j2k) image() *Image {
	m := newImage(d.x1-d.x0, d.y1-d.y0, d.size)
	if d.transformed && len(d.comps) >= 3 {
		d.untransform()
	}
	for y := range m.Height {
		for x := range m.Width {
			var v [3]byte
			for i := range v {
				c := &d.comps[0]
				if len(d.comps) >= 3 {
					c = &d.comps[i]
				}
				cx, cy := min((d.x0+x)/c.dx-d.x0/c.dx, c.w-1), min((d.y0+y)/c.dy-d.y0/c.dy, c.h-1)
				s := int(math.RoundToEven(float64(c.pix[cy*c.w+cx])))
				if !c.signed {
					s += 1 << (c.depth - 1)
				}
				s = min(max(s, 0), 1<<c.depth-1)
				if c.depth > 8 {
					s >>= c.depth - 8
				} else {
					s = s * 255 / (1<<c.depth - 1)
				}
				v[i] = byte(s)
			}
			m.set(y*m.Width+x, v[0], v[1], v[2])
		}
	}
	return m
}

// untransform undoes the transform of colours (annex G).
func (d *j2k) untransform() {
	a, b, c := &d.comps[0], &d.comps[1], &d.comps[2]
	check(len(a.pix) == len(b.pix) && len(a.pix) == len(c.pix), "colours of different sizes")
	for i, y := range a.pix {
		u, v := b.pix[i], c.pix[i]
		if a.reversible {
			g := y - float32(math.Floor(float64(u+v)/4))
			a.pix[i], b.pix[i], c.pix[i] = v+g, g, u+g
			continue
		}
		a.pix[i], b.pix[i], c.pix[i] = y+1.402*v, y-0.34413*u-0.71414*v, y+1.772*u
	}
}
