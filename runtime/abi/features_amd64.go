package abi

func cpuid(leaf, sub uint32) (a, b, c, d uint32)
func xgetbv() (a, d uint32)

// Registers that a feature's bit is in.
const (
	leaf1C = iota
	leaf7B
	leaf7C
	leaf7D
	leaf71A // leaf 7, subleaf 1
)

// The state that the operating system must save (XCR0): the halves of YMM, or all of AVX-512.
const (
	needYMM = 1<<1 | 1<<2
	needZMM = needYMM | 1<<5 | 1<<6 | 1<<7
)

// cpuFeatures says where CPUID reports each feature (Intel SDM, volume 2A, CPUID).
var cpuFeatures = map[string]struct {
	reg, bit int
	xcr0     uint32
}{
	"sse4.2": {leaf1C, 20, 0}, "popcnt": {leaf1C, 23, 0},
	"avx": {leaf1C, 28, needYMM}, "fma": {leaf1C, 12, needYMM}, "f16c": {leaf1C, 29, needYMM},
	"avx2": {leaf7B, 5, needYMM}, "bmi": {leaf7B, 3, 0}, "bmi2": {leaf7B, 8, 0},
	"avx512f": {leaf7B, 16, needZMM}, "avx512dq": {leaf7B, 17, needZMM}, "avx512cd": {leaf7B, 28, needZMM},
	"avx512bw": {leaf7B, 30, needZMM}, "avx512vl": {leaf7B, 31, needZMM}, "avx512vnni": {leaf7C, 11, needZMM},
	"avx512bf16": {leaf71A, 5, needZMM}, "avxvnni": {leaf71A, 4, needYMM},
}

func features() map[string]bool {
	top, _, _, _ := cpuid(0, 0)
	var regs [5]uint32
	_, _, regs[leaf1C], _ = cpuid(1, 0)
	if top >= 7 {
		_, regs[leaf7B], regs[leaf7C], regs[leaf7D] = cpuid(7, 0)
		regs[leaf71A], _, _, _ = cpuid(7, 1)
	}
	var xcr0 uint32
	if regs[leaf1C]>>27&1 == 1 { // OSXSAVE
		xcr0, _ = xgetbv()
	}
	have := map[string]bool{}
	for name, f := range cpuFeatures {
		have[name] = regs[f.reg]>>f.bit&1 == 1 && xcr0&f.xcr0 == f.xcr0
	}
	return have
}
