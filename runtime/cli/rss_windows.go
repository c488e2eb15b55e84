package cli

import (
	"syscall"
	"unsafe"
)

// peakRSS is the most memory in bytes that this process has had; 0 if that is not known.
func peakRSS() int64 {
	var c struct { // PROCESS_MEMORY_COUNTERS
		size, pageFaults uint32
		peak             uintptr
		other            [7]uintptr
	}
	c.size = uint32(unsafe.Sizeof(c))
	const self = ^uintptr(0)
	ok, _, _ := syscall.NewLazyDLL("kernel32.dll").NewProc("K32GetProcessMemoryInfo").Call(self, uintptr(unsafe.Pointer(&c)), uintptr(c.size))
	if ok == 0 {
		return 0
	}
	return int64(c.peak)
}
