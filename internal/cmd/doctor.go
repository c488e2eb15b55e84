package cmd

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
	"github.com/spf13/cobra"
)

// check is a row of the table of what nnc uses.
type check struct {
	name, purpose string
	required      bool
	find          func() (string, error)
	install       string
}

var checks = []check{
	{"go", "assembles and links programs", true, goVersion, "see https://go.dev/dl, version 1.26.8 or newer"},
	{"llvm", "-backend=llvm, which takes the place of nnc's own code generator, goasm: for all processors, as object files too", false, llvmVersion, llvm.InstallHint},
	{"ld.lld", "with llvm: nnc test and golden tests of -emit=go, which run code inside nnc", false, tool("--version", "ld.lld-19", "ld.lld", "/usr/lib/llvm-19/bin/ld.lld"), "apt-get install -y lld-19"},
	{"gcc", "-emit=lib", false, tool("--version", "gcc", "clang", "cc"), "apt-get install -y gcc"},
	{"qemu", "runs programs for the other architecture", false, tool("--version", otherEmulator()), qemuHint},
}

// otherEmulator is the emulator for the architecture that this machine has not.
func otherEmulator() string {
	if runtime.GOARCH == "arm64" {
		return emulators["amd64"]
	}
	return emulators["arm64"]
}

func goVersion() (string, error) {
	out, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("no working go in PATH: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func llvmVersion() (string, error) {
	t, err := llvm.FindTools()
	if err != nil {
		return "", err
	}
	return t.Version + " " + t.LLC, nil
}

// tool finds the first of several programs and gives the first line that it prints for flag.
func tool(flag string, names ...string) func() (string, error) {
	return func() (string, error) {
		for _, n := range names {
			path, err := exec.LookPath(n)
			if err != nil {
				continue
			}
			out, err := exec.Command(path, flag).Output()
			if err != nil {
				return "", fmt.Errorf("%s %s: %w", path, flag, err)
			}
			line, _, _ := strings.Cut(string(out), "\n")
			return line, nil
		}
		return "", fmt.Errorf("no %s in PATH", names[0])
	}
}

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "say what nnc found on this machine and how to install what is missing", Example: "  nnc doctor", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := c.OutOrStdout()
			fmt.Fprintf(w, "nnc %s on %s/%s, %d processors\n", version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
			missing := 0
			for _, k := range checks {
				got, err := k.find()
				if err == nil {
					fmt.Fprintf(w, "ok       %-7s %s\n", k.name, got)
					continue
				}
				state := "optional"
				if k.required {
					state = "MISSING"
					missing++
				}
				fmt.Fprintf(w, "%-8s %-7s %v\n         for: %s\n         install it with: %s\n", state, k.name, err, k.purpose, k.install)
			}
			if b, err := driver.OpenBackend("auto"); err == nil {
				fmt.Fprintf(w, "ok       backend %s\n", b.Name())
			}
			for _, a := range target.Archs {
				if a.Name == runtime.GOARCH {
					for _, l := range a.Levels {
						fmt.Fprintf(w, "%-8s level %s %s\n", map[bool]string{true: "ok", false: "no"}[abi.HasFeatures(l.CPUID)], l.Name, lacking(l.CPUID))
					}
				}
			}
			if missing > 0 {
				return fmt.Errorf("%d of what nnc needs is missing", missing)
			}
			return nil
		},
	}
}

func lacking(features []string) string {
	var no []string
	for _, f := range features {
		if !abi.HasFeatures([]string{f}) {
			no = append(no, f)
		}
	}
	if len(no) == 0 {
		return ""
	}
	return "(this processor lacks " + strings.Join(no, ", ") + ")"
}
