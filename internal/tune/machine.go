package tune

import (
	"os"
	"runtime"
	"slices"
	"strings"
)

// cpuFields are the lines of /proc/cpuinfo that tell models of processors apart, on amd64 and arm64.
var cpuFields = []string{"model name", "cpu family", "model", "stepping", "cache size", "CPU implementer", "CPU part", "CPU variant"}

// CPU names the model of this machine's processor.
func CPU() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	return cpuOf(string(b))
}

func cpuOf(info string) string {
	parts := []string{runtime.GOARCH}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(line, ":")
		part := strings.TrimSpace(name) + "=" + strings.TrimSpace(value)
		if slices.Contains(cpuFields, strings.TrimSpace(name)) && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts[1:])
	return strings.Join(parts, " ")
}
