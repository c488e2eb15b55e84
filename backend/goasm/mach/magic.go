package mach

// Magic is the multiplier m and the shift with which the high half of m*x gives x/d, for d > 1: the
// smallest power 2^p with 2^p > nc*(d - 2^p mod d), nc being the largest n that leaves d-1
// (Warren, Hacker's Delight, 10-1).
func Magic(d int64) (m, shift int64) {
	ud := uint64(d)
	const two63 = 1 << 63
	nc := uint64(two63 - 1 - two63%ud)
	p := uint(63)
	q1, r1 := uint64(two63)/nc, uint64(two63)%nc
	q2, r2 := uint64(two63)/ud, uint64(two63)%ud
	for {
		p++
		q1, r1 = 2*q1, 2*r1
		if r1 >= nc {
			q1, r1 = q1+1, r1-nc
		}
		q2, r2 = 2*q2, 2*r2
		if r2 >= ud {
			q2, r2 = q2+1, r2-ud
		}
		if delta := ud - r2; q1 >= delta && !(q1 == delta && r1 == 0) {
			break
		}
	}
	return int64(q2 + 1), int64(p - 64)
}
