package imagedec

// edges are the pixels around a block: those above from the corner on (four more than the block is wide),
// and those on the left.
type edges struct {
	corner    int
	top, left []int
}

// around gives the edges of the block of n pixels at x, y; outside of the image they are 127 above and 129
// on the left.
func (p *plane) around(x, y, n int) edges {
	e := edges{top: make([]int, n+4), left: make([]int, n)}
	for i := range e.top {
		e.top[i] = 127
		if y > 0 {
			e.top[i] = int(p.pix[(y-1)*p.stride+min(x+i, p.stride-1)])
		}
	}
	for i := range e.left {
		e.left[i] = 129
		if x > 0 {
			e.left[i] = int(p.pix[(y+i)*p.stride+x-1])
		}
	}
	switch {
	case y == 0:
		e.corner = 127
	case x == 0:
		e.corner = 129
	default:
		e.corner = int(p.pix[(y-1)*p.stride+x-1])
	}
	return e
}

// predict makes a macroblock: prediction from its edges, plus the coefficients' transforms.
func (p *plane) predict(mx, my int, split bool, modes [16]byte, coef []int) {
	x0, y0 := mx*p.size, my*p.size
	blocks := p.size / 4
	whole := p.around(x0, y0, p.size)
	if !split {
		p.fill(x0, y0, p.size, p.whole(int(modes[0]), whole, mx > 0, my > 0))
	}
	for i := range blocks * blocks {
		x, y := x0+i%blocks*4, y0+i/blocks*4
		if split {
			e := p.around(x, y, 4)
			if i%4 == 3 { // what is right of the macroblock is not there yet: the row above it serves all
				copy(e.top[4:], whole.top[16:])
			}
			p.fill(x, y, 4, small(int(modes[i]), e))
		}
		p.add(x, y, coef[16*i:])
	}
}

func (p *plane) fill(x0, y0, n int, f func(x, y int) int) {
	for y := range n {
		for x := range n {
			p.pix[(y0+y)*p.stride+x0+x] = byte(f(x, y))
		}
	}
}

// trueMotion continues the differences along the edges.
func trueMotion(e edges) func(x, y int) int {
	return func(x, y int) int { return int(clamp8(e.left[y] + e.top[x] - e.corner)) }
}

// whole predicts a block of all of a macroblock.
func (p *plane) whole(mode int, e edges, hasLeft, hasTop bool) func(x, y int) int {
	switch mode {
	case predTrue:
		return trueMotion(e)
	case predVertical:
		return func(x, _ int) int { return e.top[x] }
	case predHorizontal:
		return func(_, y int) int { return e.left[y] }
	}
	sum, n := 0, 0
	for i := range p.size {
		if hasTop {
			sum, n = sum+e.top[i], n+1
		}
		if hasLeft {
			sum, n = sum+e.left[i], n+1
		}
	}
	mean := 128
	if n > 0 {
		mean = (sum + n/2) / n
	}
	return func(_, _ int) int { return mean }
}

// small predicts a 4 x 4 block. The edge, from the bottom left over the corner to the top right, is a line
// l of 13 pixels, of which each mode smooths two or three.
func small(mode int, e edges) func(x, y int) int {
	l := []int{e.left[3], e.left[2], e.left[1], e.left[0], e.corner}
	l = append(l, e.top[:8]...)
	two := func(i int) int { return (l[i] + l[i+1] + 1) >> 1 }
	three := func(i int) int { return (l[i-1] + 2*l[i] + l[min(i+1, 12)] + 2) >> 2 }
	switch mode {
	case predTrue:
		return trueMotion(e)
	case predVertical:
		return func(x, _ int) int { return three(5 + x) }
	case predHorizontal:
		return func(_, y int) int {
			if y == 3 {
				return (l[1] + 3*l[0] + 2) >> 2
			}
			return three(3 - y)
		}
	case predDownRight:
		return func(x, y int) int { return three(4 + x - y) }
	case predDownLeft:
		return func(x, y int) int { return three(6 + x + y) }
	case predVerticalRight:
		return func(x, y int) int {
			switch i := 4 + x - (y+1)/2; {
			case x == 0 && y >= 2:
				return three(5 - y)
			case y%2 == 0:
				return two(i)
			default:
				return three(i + 1)
			}
		}
	case predVerticalLeft:
		return func(x, y int) int {
			switch {
			case x == 3 && y >= 2:
				return three(8 + y)
			case y%2 == 0:
				return two(5 + x + y/2)
			}
			return three(6 + x + y/2)
		}
	case predHorizontalDown:
		return func(x, y int) int {
			switch i := 3 - y + x/2; {
			case y == 0 && x >= 2:
				return three(3 + x)
			case x%2 == 0:
				return two(i)
			default:
				return three(i + 1)
			}
		}
	case predHorizontalUp:
		return func(x, y int) int {
			switch i := x + 2*y; {
			case i > 5:
				return l[0]
			case i == 5:
				return (l[1] + 3*l[0] + 2) >> 2
			case i%2 == 0:
				return two(2 - i/2)
			default:
				return three(2 - i/2)
			}
		}
	}
	sum := 4
	for i := range 4 {
		sum += e.top[i] + e.left[i]
	}
	return func(_, _ int) int { return sum >> 3 }
}

// add adds the inverse transform of a block's coefficients (section 14.4).
func (p *plane) add(x0, y0 int, c []int) {
	half := func(a, b, c, d int) [4]int {
		// Products with sqrt(2)*cos(pi/8) and sqrt(2)*sin(pi/8).
		cos, sin := func(v int) int { return v*20091>>16 + v }, func(v int) int { return v * 35468 >> 16 }
		s, t, u, v := a+c, a-c, sin(b)-cos(d), cos(b)+sin(d)
		return [4]int{s + v, t + u, t - u, s - v}
	}
	var t [4][4]int
	for i := range 4 {
		t[i] = half(c[i], c[4+i], c[8+i], c[12+i])
	}
	for y := range 4 {
		for x, v := range half(t[0][y]+4, t[1][y], t[2][y], t[3][y]) {
			at := &p.pix[(y0+y)*p.stride+x0+x]
			*at = clamp8(int(*at) + v>>3)
		}
	}
}

// filter gives the strength of smoothing of a macroblock (section 9.6 and 15.2).
func (d *vp8) filter(segment int, split, some bool) vp8Filter {
	level := d.level
	if d.segmented {
		level = d.segLevel[segment]
		if !d.absolute {
			level += d.level
		}
	}
	if d.deltas {
		level += d.refDelta[0]
		if split {
			level += d.modDelta[0]
		}
	}
	level = min(max(level, 0), 63)
	if level == 0 || d.level == 0 {
		return vp8Filter{}
	}
	inner := level
	if d.sharpness > 0 {
		inner >>= 1 + d.sharpness/5
		inner = min(inner, 9-d.sharpness)
	}
	f := vp8Filter{inner: max(inner, 1), inside: split || some}
	f.limit = 2*level + f.inner
	if level >= 40 {
		f.hev = 2
	} else if level >= 15 {
		f.hev = 1
	}
	return f
}

// smooth filters the edges of all macroblocks and of the blocks in them.
func (d *vp8) smooth() {
	for i, f := range d.filters {
		if f.limit == 0 {
			continue
		}
		x, y := i%d.mbw, i/d.mbw
		planes := []*plane{&d.y, &d.u, &d.v}
		if d.simple {
			planes = planes[:1]
		}
		for _, p := range planes {
			p.smoothEdges(x, y, f, d.simple, true)
			p.smoothEdges(x, y, f, d.simple, false)
		}
	}
}

// smoothEdges filters the vertical edges of a macroblock, or the horizontal ones.
func (p *plane) smoothEdges(mx, my int, f vp8Filter, simple, vertical bool) {
	step, along, outer := 1, p.stride, mx > 0
	if !vertical {
		step, along, outer = p.stride, 1, my > 0
	}
	base := my*p.size*p.stride + mx*p.size
	for e := 0; e < p.size; e += 4 {
		limit := f.limit
		if e == 0 {
			limit += 4
		}
		if e == 0 && !outer || e > 0 && !f.inside {
			continue
		}
		for i := range p.size {
			at := base + e*step + i*along
			if simple {
				p.smoothSimple(at, step, 2*limit+1)
			} else {
				p.smoothNormal(at, step, 2*limit+1, f.inner, f.hev, e == 0)
			}
		}
	}
}

func abs(x int) int { return max(x, -x) }

func signed8(x int) int { return min(max(x, -128), 127) }
func signed5(x int) int { return min(max(x, -16), 15) }

// move adds v to a pixel.
func (p *plane) move(at, v int) { p.pix[at] = clamp8(int(p.pix[at]) + v) }

// shift moves the pixels at an edge towards each other by an eighth of a, rounded both ways.
func (p *plane) shift(at, step, a int) (up int) {
	up = signed5((a + 4) >> 3)
	p.move(at-step, signed5((a+3)>>3))
	p.move(at, -up)
	return up
}

func (p *plane) smoothSimple(at, step, limit int) {
	q := func(i int) int { return int(p.pix[at+i*step]) }
	if 4*abs(q(-1)-q(0))+abs(q(-2)-q(1)) <= limit {
		p.shift(at, step, 3*(q(0)-q(-1))+signed8(q(-2)-q(1)))
	}
}

// smoothNormal filters across an edge at pixel at: up to three pixels on each side at the edge of a
// macroblock, two inside, one where the edge varies much.
func (p *plane) smoothNormal(at, step, limit, inner, hev int, outer bool) {
	var q [8]int
	for i := range q {
		q[i] = int(p.pix[at+(i-4)*step])
	}
	if 4*abs(q[3]-q[4])+abs(q[2]-q[5]) > limit {
		return
	}
	for _, i := range []int{0, 1, 2, 4, 5, 6} {
		if abs(q[i]-q[i+1]) > inner {
			return
		}
	}
	switch a := 3 * (q[4] - q[3]); {
	case abs(q[2]-q[3]) > hev || abs(q[4]-q[5]) > hev:
		p.shift(at, step, a+signed8(q[2]-q[5]))
	case outer:
		a = signed8(a + signed8(q[2]-q[5]))
		for i, w := range []int{27, 18, 9} {
			v := (w*a + 63) >> 7
			p.move(at-(i+1)*step, v)
			p.move(at+i*step, -v)
		}
	default:
		v := (p.shift(at, step, a) + 1) >> 1
		p.move(at-2*step, v)
		p.move(at+step, -v)
	}
}

// rgb makes the image: chroma is interpolated as libwebp does, and converted by its constants.
func (d *vp8) rgb(size int) *Image {
	m := newImage(d.w, d.h, size)
	for y := range d.h {
		u, v := d.u.widen(y, d.w, d.h), d.v.widen(y, d.w, d.h)
		for x := range d.w {
			l, cb, cr := int(d.y.pix[y*d.y.stride+x])*19077>>8, u[x], v[x]
			out := func(v int) byte { return clamp8(v >> 6) }
			m.set(y*d.w+x, out(l+cr*26149>>8-14234), out(l-cb*6419>>8-cr*13320>>8+8708), out(l+cb*33050>>8-17685))
		}
	}
	return m
}

// widen gives row y of chroma at the width w of the image: nine parts of the nearest pixel, three of each
// neighbour, one of that across.
func (p *plane) widen(y, w, h int) []int {
	cw, ch := (w+1)/2, (h+1)/2
	row := func(y int) []byte { return p.pix[min(max(y, 0), ch-1)*p.stride:][:cw] }
	near, far := row(y/2), row(y/2-1+y%2*2)
	out := make([]int, w)
	for x := range out {
		i := x / 2
		j := i - 1 + x%2*2
		if j < 0 || j >= cw {
			out[x] = (3*int(near[i]) + int(far[i]) + 2) >> 2
			continue
		}
		a, b, c, e := int(near[i]), int(near[j]), int(far[i]), int(far[j])
		out[x] = (a + (a+b+c+e+8+2*(b+c))>>3) >> 1
	}
	return out
}
