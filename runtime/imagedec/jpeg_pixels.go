package imagedec

// inverse turns the coefficients of a component into samples.
func (d *jpeg) inverse(c *jpegComp) {
	c.pix = make([]byte, c.across*c.down*64)
	q := &d.quant[c.quant]
	var work [64]int32
	for i := range c.across * c.down {
		for j, v := range c.coef[i*64:][:64] {
			work[j] = int32(v) * int32(q[j])
		}
		islow(&work, c.pix[i/c.across*8*c.across*8+i%c.across*8:], c.across*8)
	}
	c.coef = nil
}

// The constants of C. Loeffler, A. Ligtenberg and G. Moschytz ("Practical fast 1-D DCT algorithms with 11
// multiplications", 1989), times 2^13 as libjpeg's accurate integer transform has them.
const (
	c0298, c0390, c0541, c0765, c0899, c1175 = 2446, 3196, 4433, 6270, 7373, 9633
	c1501, c1847, c1961, c2053, c2562, c3072 = 12299, 15137, 16069, 16819, 20995, 25172
)

// odd4 is the odd half of the transform, of coefficients 7, 5, 3 and 1.
func odd4(t0, t1, t2, t3 int32) (int32, int32, int32, int32) {
	z1, z2, z3, z4 := t0+t3, t1+t2, t0+t2, t1+t3
	z5 := (z3 + z4) * c1175
	z1, z2, z3, z4 = -z1*c0899, -z2*c2562, z5-z3*c1961, z5-z4*c0390
	return t0*c0298 + z1 + z3, t1*c2053 + z2 + z4, t2*c3072 + z2 + z3, t3*c1501 + z1 + z4
}

// idct1 is a one-dimensional transform; the results are scaled by 2^13 and take a shift.
func idct1(v *[8]int32, shift uint) {
	z := (v[2] + v[6]) * c0541
	t2, t3 := z-v[6]*c1847, z+v[2]*c0765
	t0, t1 := (v[0]+v[4])<<13, (v[0]-v[4])<<13
	e := [4]int32{t0 + t3, t1 + t2, t1 - t2, t0 - t3}
	o0, o1, o2, o3 := odd4(v[7], v[5], v[3], v[1])
	o := [4]int32{o3, o2, o1, o0}
	half := int32(1) << (shift - 1)
	for i := range 4 {
		v[i], v[7-i] = (e[i]+o[i]+half)>>shift, (e[i]-o[i]+half)>>shift
	}
}

// islow transforms a block: columns first, with two more bits, then rows.
func islow(b *[64]int32, out []byte, stride int) {
	var v [8]int32
	for x := range 8 {
		for y := range v {
			v[y] = b[8*y+x]
		}
		idct1(&v, 11)
		for y := range v {
			b[8*y+x] = v[y]
		}
	}
	for y := range 8 {
		copy(v[:], b[8*y:])
		idct1(&v, 18)
		for x := range v {
			out[y*stride+x] = clamp8(int(v[x]) + 128)
		}
	}
}

func clamp8(v int) byte { return byte(min(max(v, 0), 255)) }

// row gives row y of a component at the size of the image. Chroma of half the width or height is
// interpolated: weights 3/4 and 1/4, with roundings that alternate, as libjpeg does.
func (d *jpeg) row(c *jpegComp, y int) []byte {
	h, v := d.hmax/c.h, d.vmax/c.v
	at := func(y int) []byte { return c.pix[min(max(y, 0), c.height-1)*c.across*8:][:c.w] }
	smooth := h == 2 && v <= 2 && c.w > 2
	switch {
	case smooth && v == 1:
		return widen1(at(y))
	case smooth:
		return widen2(at(y/2), at(y/2-1+y%2*2))
	case h == 1 && v == 2:
		near, far, out := at(y/2), at(y/2-1+y%2*2), make([]byte, c.w)
		for i := range out {
			out[i] = byte((3*int(near[i]) + int(far[i]) + 1 + y%2) >> 2)
		}
		return out
	}
	in, out := at(y/v), make([]byte, c.w*h)
	for i := range out {
		out[i] = in[i/h]
	}
	return out
}

// widen1 doubles a row.
func widen1(in []byte) []byte {
	n := len(in)
	out := make([]byte, 2*n)
	for i, p := range in {
		left, right := (3*int(p)+int(in[max(i-1, 0)])+1)>>2, (3*int(p)+int(in[min(i+1, n-1)])+2)>>2
		out[2*i], out[2*i+1] = byte(left), byte(right)
	}
	out[0], out[2*n-1] = in[0], in[n-1]
	return out
}

// widen2 doubles a row that lies between two, near the first.
func widen2(near, far []byte) []byte {
	n := len(near)
	sum := func(i int) int { return 3*int(near[i]) + int(far[i]) }
	out := make([]byte, 2*n)
	for i := range near {
		out[2*i] = byte((3*sum(i) + sum(max(i-1, 0)) + 8) >> 4)
		out[2*i+1] = byte((3*sum(i) + sum(min(i+1, n-1)) + 7) >> 4)
	}
	return out
}

// colours makes the image from the components.
func (d *jpeg) colours() *Image {
	m := newImage(d.w, d.h, d.size)
	ycc := d.isYCC()
	for y := range d.h {
		rows := make([][]byte, len(d.comps))
		for i, c := range d.comps {
			rows[i] = d.row(c, y)
		}
		for x := range d.w {
			a := rows[0][x]
			r, g, b := a, a, a
			if len(rows) > 1 {
				g, b = rows[1][x], rows[2][x]
			}
			if ycc {
				r, g, b = yccToRGB(r, g, b)
			}
			if len(rows) == 4 {
				r, g, b = d.inks(r, g, b, rows[3][x], ycc)
			}
			m.set(y*d.w+x, r, g, b)
		}
	}
	return m
}

// isYCC tells by the markers, and else by the names of the components, whether colours are YCbCr.
func (d *jpeg) isYCC() bool {
	switch {
	case len(d.comps) == 4:
		return d.adobe == 2
	case len(d.comps) != 3:
		return false
	case d.jfif:
		return true
	case d.adobe >= 0:
		return d.adobe != 0
	}
	return !(d.comps[0].id == 'R' && d.comps[1].id == 'G' && d.comps[2].id == 'B')
}

// yccToRGB converts with constants times 2^16, each product rounded as libjpeg's tables are.
func yccToRGB(y, cb, cr byte) (r, g, b byte) {
	l, u, v := int(y), int(cb)-128, int(cr)-128
	return clamp8(l + (91881*v+32768)>>16), clamp8(l + (-22554*u-46802*v+32768)>>16), clamp8(l + (116130*u+32768)>>16)
}

// inks turns cyan, magenta, yellow and black into colours; Adobe's files hold them inverted.
func (d *jpeg) inks(c, m, y, k byte, ycc bool) (r, g, b byte) {
	if ycc { // the conversion gave 255 less each
		c, m, y = 255-c, 255-m, 255-y
	}
	if d.adobe >= 0 {
		c, m, y, k = 255-c, 255-m, 255-y, 255-k
	}
	mix := func(ink byte) byte {
		white := 255 - int(k)
		t := int(ink)*white + 128
		return clamp8(white - (t>>8+t)>>8)
	}
	return mix(c), mix(m), mix(y)
}
