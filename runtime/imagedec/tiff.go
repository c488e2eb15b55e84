package imagedec

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"slices"
)

// The tags of TIFF that matter here.
const (
	tagWidth, tagHeight, tagBits, tagCompression, tagPhotometric = 256, 257, 258, 259, 262
	tagStripOffsets, tagSamples, tagRowsPerStrip, tagStripCounts = 273, 277, 278, 279
	tagPlanar, tagPredictor, tagColorMap, tagTileWidth           = 284, 317, 320, 322
	tagTileHeight, tagTileOffsets, tagTileCounts                 = 323, 324, 325
)

// tiff is the first image of a TIFF file being decoded.
type tiff struct {
	*Image
	b                                           []byte
	order                                       binary.ByteOrder
	tags                                        map[int][]int
	bits, samples, photometric, predictor, mode int
	planar                                      bool
}

func decodeTIFF(b []byte) *Image {
	d := &tiff{b: b, order: binary.LittleEndian, tags: map[int][]int{}}
	if b[0] == 'M' {
		d.order = binary.BigEndian
	}
	d.directory(int(d.order.Uint32(b[4:])))
	d.Image = newImage(d.tag(tagWidth, 0), d.tag(tagHeight, 0), len(b))
	d.bits, d.samples, d.photometric = d.tag(tagBits, 1), d.tag(tagSamples, 1), d.tag(tagPhotometric, 1)
	d.predictor, d.mode, d.planar = d.tag(tagPredictor, 1), d.tag(tagCompression, 1), d.tag(tagPlanar, 1) == 2
	for _, n := range d.tags[tagBits] {
		check(n == d.bits, "samples of different sizes: %v bits", d.tags[tagBits])
	}
	check(slices.Contains([]int{1, 2, 4, 8, 16}, d.bits), "samples of %d bits", d.bits)
	need := 1
	if d.photometric == 2 {
		need = 3
	}
	check(d.photometric <= 3 && d.samples >= need && d.samples <= 16, "photometric interpretation %d with %d samples", d.photometric, d.samples)
	check(d.predictor == 1 || d.predictor == 2 && d.bits >= 8, "predictor %d of %d bits", d.predictor, d.bits)
	check(d.photometric != 3 || len(d.tags[tagColorMap]) >= 3<<d.bits, "the palette is too short")
	d.parts()
	return d.Image
}

// directory reads the numbers of a directory.
func (d *tiff) directory(off int) {
	n, total := int(d.order.Uint16(d.b[off:])), 0
	for i := range n {
		e := d.b[off+2+12*i:][:12]
		size := map[uint16]int{1: 1, 3: 2, 4: 4}[d.order.Uint16(e[2:])]
		count := int(d.order.Uint32(e[4:]))
		if size == 0 || count > len(d.b) {
			continue // no whole numbers
		}
		total += count
		check(total <= len(d.b), "the directory has more numbers than the file")
		data := e[8:]
		if count*size > 4 {
			at := int(d.order.Uint32(e[8:]))
			data = d.b[at : at+count*size]
		}
		vals := make([]int, count)
		for j := range vals {
			switch size {
			case 1:
				vals[j] = int(data[j])
			case 2:
				vals[j] = int(d.order.Uint16(data[2*j:]))
			default:
				vals[j] = int(d.order.Uint32(data[4*j:]))
			}
		}
		d.tags[int(d.order.Uint16(e))] = vals
	}
}

// tag is the first number of a tag.
func (d *tiff) tag(tag, absent int) int {
	if v := d.tags[tag]; len(v) > 0 {
		return v[0]
	}
	return absent
}

// parts decodes all strips or tiles.
func (d *tiff) parts() {
	w, h := d.Width, min(d.tag(tagRowsPerStrip, d.Height), d.Height)
	offs, counts := d.tags[tagStripOffsets], d.tags[tagStripCounts]
	tiled := d.tags[tagTileOffsets] != nil
	if tiled {
		w, h = d.tag(tagTileWidth, 0), d.tag(tagTileHeight, 0)
		offs, counts = d.tags[tagTileOffsets], d.tags[tagTileCounts]
	}
	check(w > 0 && h > 0 && w < d.Width+1<<12 && h < d.Height+1<<12, "parts of %d x %d", w, h)
	across, down := (d.Width+w-1)/w, (d.Height+h-1)/h
	planes, samples := 1, d.samples
	if d.planar {
		planes, samples = d.samples, 1
	}
	check(len(offs) >= across*down*planes && len(counts) >= len(offs), "%d parts, want %d", len(offs), across*down*planes)
	// Planes of one part stand side by side as its samples.
	stride := (w*samples*d.bits + 7) / 8
	for p := range across * down {
		x0, y0 := p%across*w, p/across*h
		rows := h
		if !tiled {
			rows = min(h, d.Height-y0)
		}
		var data [][]byte
		for s := range planes {
			i := s*across*down + p
			part := d.unpack(d.b[offs[i]:offs[i]+counts[i]], stride*rows)
			check(len(part) >= stride*rows, "a part of %d bytes, want %d", len(part), stride*rows)
			for y := range rows {
				d.unpredict(part[y*stride:][:stride], samples)
			}
			data = append(data, part)
		}
		for y := range min(rows, d.Height-y0) {
			for x := range min(w, d.Width-x0) {
				d.pixel((y0+y)*d.Width+x0+x, func(s int) int {
					if planes > 1 {
						return d.sample(data[s][y*stride:], x)
					}
					return d.sample(data[0][y*stride:], x*samples+s)
				})
			}
		}
	}
}

// sample is sample i of a row.
func (d *tiff) sample(row []byte, i int) int {
	switch d.bits {
	case 16:
		return int(d.order.Uint16(row[2*i:]))
	case 8:
		return int(row[i])
	}
	bit := i * d.bits
	return int(row[bit/8]) >> (8 - d.bits - bit%8) & (1<<d.bits - 1)
}

// unpredict adds the pixel on the left to each.
func (d *tiff) unpredict(row []byte, samples int) {
	if d.predictor != 2 {
		return
	}
	for i := samples; i < len(row)*8/d.bits; i++ {
		if d.bits == 8 {
			row[i] += row[i-samples]
			continue
		}
		d.order.PutUint16(row[2*i:], d.order.Uint16(row[2*i:])+d.order.Uint16(row[2*(i-samples):]))
	}
}

// pixel sets a pixel from its samples, of which more than colours are dropped.
func (d *tiff) pixel(i int, sample func(s int) int) {
	most := 1<<d.bits - 1
	narrow := func(v int) byte {
		if d.bits == 16 {
			return byte(v >> 8)
		}
		return byte(v * 255 / most)
	}
	switch v := sample(0); d.photometric {
	case 0:
		d.set(i, 255-narrow(v), 255-narrow(v), 255-narrow(v))
	case 1:
		d.set(i, narrow(v), narrow(v), narrow(v))
	case 2:
		d.set(i, narrow(v), narrow(sample(1)), narrow(sample(2)))
	default:
		m, n := d.tags[tagColorMap], 1<<d.bits
		d.set(i, byte(m[v]>>8), byte(m[n+v]>>8), byte(m[2*n+v]>>8))
	}
}

// unpack decompresses a part of which n bytes are wanted. What it gives may be written to.
func (d *tiff) unpack(b []byte, n int) []byte {
	switch d.mode {
	case 1:
		return bytes.Clone(b)
	case 5:
		return tiffLZW(b, n)
	case 8, 32946:
		z, err := zlib.NewReader(bytes.NewReader(b))
		check(err == nil, "%v", err)
		out, err := io.ReadAll(io.LimitReader(z, int64(n)))
		check(err == nil, "%v", err)
		return out
	case 32773:
		return packBits(b, n)
	}
	fail("compression %d is not supported", d.mode)
	return nil
}

// packBits expands run lengths: n bytes as they are, or one byte n times.
func packBits(b []byte, want int) (out []byte) {
	for len(out) < want && len(b) > 0 {
		n := int(int8(b[0]))
		switch b = b[1:]; {
		case n >= 0:
			out = append(out, b[:n+1]...)
			b = b[n+1:]
		case n > -128:
			out = append(out, bytes.Repeat(b[:1], 1-n)...)
			b = b[1:]
		}
	}
	return out
}

// tiffLZW expands LZW with the codes of TIFF: most significant bits first, of which there are one more as
// soon as the table could need it.
func tiffLZW(b []byte, want int) (out []byte) {
	const clear, end = 256, 257
	type entry struct{ from, n int } // a string is n bytes of out
	table := make([]entry, 0, 4096)
	acc, have, width := 0, 0, 9
	prev := entry{n: -1}
	for len(out) < want {
		for have < width {
			if len(b) == 0 {
				return out
			}
			acc, b, have = acc<<8|int(b[0]), b[1:], have+8
		}
		code := acc >> (have - width)
		have -= width
		acc &= 1<<have - 1
		switch {
		case code == end:
			return out
		case code == clear:
			table, width, prev = table[:0], 9, entry{n: -1}
			continue
		}
		at := len(out)
		switch {
		case code < 256:
			out = append(out, byte(code))
		case code-258 < len(table):
			e := table[code-258]
			out = append(out, out[e.from:e.from+e.n]...)
		default:
			check(prev.n > 0 && code-258 == len(table), "a code that is not defined yet")
			out = append(append(out, out[prev.from:prev.from+prev.n]...), out[prev.from])
		}
		if prev.n > 0 && len(table) < 4096-258 {
			table = append(table, entry{prev.from, prev.n + 1}) // its last byte is the first of what followed
		}
		prev = entry{at, len(out) - at}
		for width < 12 && len(table)+258 >= 1<<width-1 {
			width++
		}
	}
	return out
}
