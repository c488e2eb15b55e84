//go:build !unix && !windows

package cli

func peakRSS() int64 { return 0 }
