//go:build amd64 || arm64

package abi

// Call runs the kernel at address fn over [lo, hi). args must not move during the call: it is in
// memory that the caller owns and that is not on its stack.
//
//go:noescape
func Call(fn uintptr, args *int64, lo, hi int64)

// CallGo is Call for a kernel in Go assembly.
//
//go:noescape
func CallGo(fn uintptr, args *int64, lo, hi int64)
