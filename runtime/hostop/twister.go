package hostop

// twister is the generator MT19937 (M. Matsumoto, T. Nishimura, "Mersenne Twister: A 623-Dimensionally
// Equidistributed Uniform Pseudo-Random Number Generator", ACM TOMACS 8, 1998), seeded by its authors' init_genrand:
// what ONNX's reference implementation, by way of NumPy's RandomState, draws from where a Dropout has a seed.
type twister struct {
	state [624]uint32
	at    int
}

func newTwister(seed uint32) *twister {
	t := &twister{at: len(twister{}.state)}
	t.state[0] = seed
	for i := 1; i < len(t.state); i++ {
		prev := t.state[i-1]
		t.state[i] = 1812433253*(prev^prev>>30) + uint32(i)
	}
	return t
}

// twist makes the next 624 words.
func (t *twister) twist() {
	n := len(t.state)
	for i := range t.state {
		y := t.state[i]&0x80000000 | t.state[(i+1)%n]&0x7fffffff
		next := t.state[(i+397)%n] ^ y>>1
		if y&1 == 1 {
			next ^= 0x9908b0df
		}
		t.state[i] = next
	}
	t.at = 0
}

func (t *twister) word() uint32 {
	if t.at == len(t.state) {
		t.twist()
	}
	y := t.state[t.at]
	t.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// float makes the next number of [0, 1), of 53 bits from two words.
func (t *twister) float() float64 {
	a, b := t.word()>>5, t.word()>>6
	return (float64(a)*(1<<26) + float64(b)) / (1 << 53)
}
