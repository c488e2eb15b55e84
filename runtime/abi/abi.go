// Package abi is what generated machine code and the runtime agree on.
//
// A kernel is a C function
//
//	void kernel(const int64_t *args, int64_t lo, int64_t hi)
//
// by the System V convention on amd64 (on Windows too) and AAPCS64 on arm64. It calls nothing, needs at
// most StackSize bytes of stack, and on arm64 leaves x18 and x28 alone. It runs on the goroutine's
// stack: Call's frame holds its stack.
//
// A kernel in Go assembly is
//
//	func kernel(args *int64, lo, hi int64, scratch *byte)
//
// by Go's stack-based calling convention (ABI0), NOSPLIT with a frame of at most 512 bytes. It calls nothing
// and finds the rest of its memory at scratch: StackSize bytes in CallGo's frame that start at a multiple of 64.
package abi

// StackSize is the stack that a kernel may use, in bytes. The compiler checks it.
const StackSize = 48 << 10

// HasFeatures reports whether the processor, and the operating system where that matters, has all the
// features named, in the names of LLVM: "avx2", "fma", "avx512f". An unknown name is one it has not.
func HasFeatures(names []string) bool {
	have := features()
	for _, n := range names {
		if !have[n] {
			return false
		}
	}
	return true
}
