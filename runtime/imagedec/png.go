package imagedec

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
)

// png is a PNG file being decoded.
type png struct {
	*Image
	depth, colour int
	palette       []byte
	data          [][]byte // IDAT chunks
}

// pngChannels are the samples of a pixel by colour type.
var pngChannels = map[int]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

// decodePNG decodes all colour types and depths; alpha is dropped and of 16 bits the upper 8 count.
func decodePNG(b []byte) *Image {
	d := &png{}
	interlaced := false
	for p := b[8:]; ; {
		check(len(p) >= 12, "the file is cut off")
		n := int(binary.BigEndian.Uint32(p))
		check(n <= len(p)-12, "a chunk of %d bytes is cut off", n)
		kind, body := string(p[4:8]), p[8:8+n]
		p = p[12+n:]
		check(d.Image != nil || kind == "IHDR", "the header is missing")
		switch kind {
		case "IHDR":
			check(n == 13 && d.Image == nil, "a malformed header")
			d.Image = newImage(int(binary.BigEndian.Uint32(body)), int(binary.BigEndian.Uint32(body[4:])), len(b))
			d.depth, d.colour, interlaced = int(body[8]), int(body[9]), body[12] == 1
			check(pngChannels[d.colour] > 0 && (d.depth == 8 || d.depth == 16 && d.colour != 3 || d.depth < 8 && 8%max(d.depth, 1) == 0 && d.depth > 0 && (d.colour == 0 || d.colour == 3)),
				"colour type %d with %d bits", d.colour, d.depth)
			check(body[10] == 0 && body[11] == 0 && body[12] <= 1, "an unknown method")
		case "PLTE":
			d.palette = body
		case "IDAT":
			d.data = append(d.data, body)
		case "IEND":
			d.pixels(interlaced)
			return d.Image
		}
	}
}

// adam7 are the passes of an interlaced image: the first pixel and the steps.
var adam7 = [7][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}

func (d *png) pixels(interlaced bool) {
	var parts []io.Reader
	for _, p := range d.data {
		parts = append(parts, bytes.NewReader(p))
	}
	z, err := zlib.NewReader(io.MultiReader(parts...))
	check(err == nil, "%v", err)
	if !interlaced {
		d.pass(z, 0, 0, 1, 1)
		return
	}
	for _, p := range adam7 {
		d.pass(z, p[0], p[1], p[2], p[3])
	}
}

// pass reads the rows of every dx-th pixel from x0 and every dy-th row from y0.
func (d *png) pass(z io.Reader, x0, y0, dx, dy int) {
	w, h := (d.Width-x0+dx-1)/dx, (d.Height-y0+dy-1)/dy
	if w <= 0 || h <= 0 {
		return
	}
	channels := pngChannels[d.colour]
	stride := (w*channels*d.depth + 7) / 8
	step := max(1, channels*d.depth/8)
	above, row := make([]byte, stride), make([]byte, stride+1)
	for y := range h {
		_, err := io.ReadFull(z, row)
		check(err == nil, "pixels: %v", err)
		unfilter(int(row[0]), row[1:], above, step)
		for x := range w {
			d.pixel((y0+y*dy)*d.Width+x0+x*dx, row[1:], x, channels)
		}
		copy(above, row[1:])
	}
}

// unfilter restores a row that is stored as differences from what is left of it and above it.
func unfilter(filter int, row, above []byte, step int) {
	check(filter <= 4, "filter %d", filter)
	for i := range row {
		var left, up, corner int
		up = int(above[i])
		if i >= step {
			left, corner = int(row[i-step]), int(above[i-step])
		}
		switch filter {
		case 1:
			row[i] += byte(left)
		case 2:
			row[i] += byte(up)
		case 3:
			row[i] += byte((left + up) / 2)
		case 4:
			row[i] += byte(paeth(left, up, corner))
		}
	}
}

// paeth is the neighbour that is nearest to left+up-corner.
func paeth(left, up, corner int) int {
	abs := func(x int) int { return max(x, -x) }
	dl, du, dc := abs(up-corner), abs(left-corner), abs(left+up-2*corner)
	switch {
	case dl <= du && dl <= dc:
		return left
	case du <= dc:
		return up
	}
	return corner
}

func (d *png) pixel(i int, row []byte, x, channels int) {
	sample := func(c int) byte {
		switch n := x*channels + c; d.depth {
		case 16:
			return row[2*n]
		case 8:
			return row[n]
		default:
			bit := n * d.depth
			return row[bit/8] >> (8 - d.depth - bit%8) & (1<<d.depth - 1)
		}
	}
	switch v := sample(0); {
	case d.colour == 3:
		p := d.palette[3*int(v):]
		d.set(i, p[0], p[1], p[2])
	case channels >= 3:
		d.set(i, v, sample(1), sample(2))
	default:
		if d.depth < 8 {
			v *= byte(255 / (1<<d.depth - 1))
		}
		d.set(i, v, v, v)
	}
}
