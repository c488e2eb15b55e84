//go:build !amd64 && !arm64

package abi

// Call panics: there are no kernels for this architecture, and exec.New refuses plans that need one.
func Call(fn uintptr, args *int64, lo, hi int64) { panic("abi: no kernels for this architecture") }

func features() map[string]bool { return nil }
