package imagedec

import (
	"encoding/binary"
	"math/bits"
)

// bmp is a Windows bitmap being decoded.
type bmp struct {
	*Image
	data    []byte // the pixels
	depth   int
	down    bool // rows from the top down
	palette []byte
	entry   int       // bytes of a palette entry
	masks   [3]uint32 // of depths 16 and 32
}

func decodeBMP(b []byte) *Image {
	le := binary.LittleEndian
	check(len(b) >= 26, "the file is cut off")
	header := int(le.Uint32(b[14:]))
	check(header == 12 || header >= 40 && header <= 1<<10 && len(b) >= 14+header, "a header of %d bytes", header)
	d := &bmp{entry: 4}
	compression, w, h := uint32(0), 0, 0
	colours := 0
	if header == 12 {
		w, h, d.depth, d.entry = int(le.Uint16(b[18:])), int(le.Uint16(b[20:])), int(le.Uint16(b[24:])), 3
	} else {
		w, h, d.depth = int(int32(le.Uint32(b[18:]))), int(int32(le.Uint32(b[22:]))), int(le.Uint16(b[28:]))
		compression, colours = le.Uint32(b[30:]), int(le.Uint32(b[46:]))
	}
	if h < 0 {
		d.down, h = true, -h
	}
	d.Image = newImage(w, h, len(b))
	off := int(le.Uint32(b[10:]))
	check(off <= len(b), "pixels begin at %d of %d bytes", off, len(b))
	d.data = b[off:]
	after := 14 + header
	switch {
	case compression == 3 && (d.depth == 16 || d.depth == 32): // masks follow a short header
		for i := range d.masks {
			d.masks[i] = le.Uint32(b[54+4*i:])
		}
	case d.depth == 16:
		d.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
	case d.depth == 32:
		d.masks = [3]uint32{0xff0000, 0xff00, 0xff}
	}
	if d.depth <= 8 {
		if colours <= 0 || colours > 1<<d.depth {
			colours = 1 << d.depth
		}
		end := min(after+colours*d.entry, len(b))
		check(after <= end, "the palette is cut off")
		d.palette = b[after:end]
	}
	switch compression {
	case 0, 3:
		check(compression == 0 || d.depth >= 16, "masks with %d bits", d.depth)
		d.plain()
	case 1, 2:
		check(compression == 1 && d.depth == 8 || compression == 2 && d.depth == 4, "run lengths with %d bits", d.depth)
		d.runs()
	default:
		fail("compression %d is not supported", compression)
	}
	return d.Image
}

// at is the number of pixel x of row y of the file.
func (d *bmp) at(x, y int) int {
	if !d.down {
		y = d.Height - 1 - y
	}
	return y*d.Width + x
}

func (d *bmp) colour(i, c int) {
	p := d.palette[c*d.entry:]
	d.set(i, p[2], p[1], p[0])
}

// plain reads rows of whole pixels, each padded to 4 bytes.
func (d *bmp) plain() {
	stride := (d.Width*d.depth + 31) / 32 * 4
	for y := range d.Height {
		row := d.data[y*stride:]
		for x := range d.Width {
			i := d.at(x, y)
			switch d.depth {
			case 1, 2, 4, 8:
				bit := x * d.depth
				d.colour(i, int(row[bit/8]>>(8-d.depth-bit%8))&(1<<d.depth-1))
			case 16:
				d.masked(i, uint32(binary.LittleEndian.Uint16(row[2*x:])))
			case 24:
				d.set(i, row[3*x+2], row[3*x+1], row[3*x])
			case 32:
				d.masked(i, binary.LittleEndian.Uint32(row[4*x:]))
			default:
				fail("%d bits per pixel", d.depth)
			}
		}
	}
}

// masked splits a pixel by the masks; fields of less than 8 bits are stretched.
func (d *bmp) masked(i int, v uint32) {
	var c [3]byte
	for j, m := range d.masks {
		if m == 0 {
			continue
		}
		low := bits.TrailingZeros32(m)
		most := uint64(m >> low)
		c[j] = byte(uint64(v&m>>low) * 255 / most)
	}
	d.set(i, c[0], c[1], c[2])
}

// runs reads run lengths of palette entries.
func (d *bmp) runs() {
	b, x, y := d.data, 0, 0
	put := func(c int) {
		if x < d.Width && y < d.Height {
			d.colour(d.at(x, y), c)
		}
		x++
	}
	nibble := func(v byte, i int) int {
		switch {
		case d.depth == 8:
			return int(v)
		case i%2 == 0:
			return int(v >> 4)
		}
		return int(v & 15)
	}
	for i := range d.Width * d.Height { // what is skipped has the first colour
		d.colour(i, 0)
	}
	for len(b) >= 2 && y < d.Height {
		n, v := int(b[0]), b[1]
		b = b[2:]
		switch {
		case n > 0:
			for i := range n {
				put(nibble(v, i))
			}
		case v == 0:
			x, y = 0, y+1
		case v == 1:
			return
		case v == 2:
			x, y = x+int(b[0]), y+int(b[1])
			b = b[2:]
		default:
			n = int(v)
			size := (n*d.depth + 7) / 8
			for i := range n {
				put(nibble(b[i*d.depth/8], i))
			}
			b = b[min(len(b), (size+1)&^1):]
		}
	}
}
