package target

import (
	"fmt"
	"slices"
	"strings"
)

// systems are the operating systems that executables are built for.
var systems = []string{"linux", "darwin", "windows"}

// Parse reads a target as the command line gives it: spec is an architecture ("arm64", on hostOS), a
// pair ("darwin/arm64"), or "" for the host. cpu is "auto" or "" (all levels; the program chooses when
// it starts), "native" (the best one for which has holds), or the name of a level. Levels that differ from others
// by bf16 alone are among those of auto and native where fast is set (-math=fast).
func Parse(spec, cpu string, fast bool, hostOS, hostArch string, has func(features []string) bool) (*Target, error) {
	system, arch, pair := strings.Cut(spec, "/")
	switch {
	case spec == "":
		system, arch = hostOS, hostArch
	case !pair:
		system, arch = hostOS, spec
		if !slices.Contains(systems, hostOS) {
			system = "linux"
		}
	}
	a, err := ArchByName(arch)
	if err != nil {
		return nil, err
	}
	if a != Portable && a.Triple[system] == "" {
		return nil, fmt.Errorf("target: no operating system %q, want one of %s", system, strings.Join(systems, ", "))
	}
	t := &Target{OS: system, Arch: a}
	var names []string
	for _, l := range a.Levels {
		names = append(names, l.Name)
		useful := fast || !l.BF16
		switch cpu {
		case "", "auto":
			if useful {
				t.Levels = append(t.Levels, l)
			}
		case "native":
			if useful && has(l.CPUID) {
				t.Levels = []*Level{l}
			}
		case l.Name:
			t.Levels = []*Level{l}
		}
	}
	if cpu == "native" && arch != hostArch {
		return nil, fmt.Errorf("target: -cpu=native is for this machine (%s), not for %s", hostArch, arch)
	}
	if len(t.Levels) == 0 {
		return nil, fmt.Errorf("target: %s has no CPU level %q, want auto, native or one of %s", arch, cpu, strings.Join(names, ", "))
	}
	return t, nil
}
