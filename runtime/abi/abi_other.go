//go:build !amd64 && !arm64

package abi

// Call panics: there are no kernels for this architecture, and exec.New refuses plans that need one.
func Call(fn uintptr, args *int64, lo, hi int64) { panic("abi: no kernels for this architecture") }

// CallGo panics like Call: kernels for other architectures are written in Go.
func CallGo(fn uintptr, args *int64, lo, hi int64) { Call(fn, args, lo, hi) }

func features() map[string]bool { return nil }
