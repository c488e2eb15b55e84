package exec

import (
	"os"
	"strconv"
	"strings"
)

// machineMemory is the memory in bytes that this process may use: that of the machine or of its
// control group, whichever is less; 0 where it cannot be told (other systems than Linux).
func machineMemory() int64 {
	least := int64(0)
	take := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		take(1024 * fieldAfter(string(b), "MemTotal:"))
	}
	for _, f := range groupFiles() {
		if b, err := os.ReadFile(f); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // "max" is no limit
			take(n)
		}
	}
	return least
}

// groupFiles lists the files that limit this process's control group and those above it, for both
// versions of control groups.
func groupFiles() []string {
	files := []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return files
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for dir := f[2]; len(dir) > 1; dir = dir[:max(strings.LastIndexByte(dir, '/'), 0)] {
			switch {
			case f[0] == "0":
				files = append(files, "/sys/fs/cgroup"+dir+"/memory.max")
			case strings.Contains(","+f[1]+",", ",memory,"):
				files = append(files, "/sys/fs/cgroup/memory"+dir+"/memory.limit_in_bytes")
			}
		}
	}
	return files
}

// fieldAfter is the number that follows key; 0 if there is none.
func fieldAfter(s, key string) int64 {
	_, rest, ok := strings.Cut(s, key)
	if !ok {
		return 0
	}
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(f[0], 10, 64)
	return n
}
