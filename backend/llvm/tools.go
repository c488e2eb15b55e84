package llvm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// MinVersion is the oldest LLVM whose output was tested.
const MinVersion = 19

// Tools are the LLVM programs that the backend runs.
type Tools struct {
	Opt, LLC string
	Version  string // "19.1.7"
}

// ErrNotFound is returned when there is no LLVM.
var ErrNotFound = errors.New("LLVM not found")

// InstallHint is the command that installs LLVM on Debian and its relatives.
const InstallHint = "apt-get install -y llvm-19"

// suffixes are tried in order behind the names of the tools.
var suffixes = []string{"-19", "-20", "-21", ""}

// FindTools looks for opt and llc of one version: in the directory that the environment variable
// NNC_LLVM names, in PATH, and in /usr/lib/llvm-19/bin. The result is remembered.
var FindTools = sync.OnceValues(func() (*Tools, error) {
	dirs := []string{"", "/usr/lib/llvm-19/bin"}
	if d := os.Getenv("NNC_LLVM"); d != "" {
		dirs = []string{d}
	}
	var old string
	for _, d := range dirs {
		for _, s := range suffixes {
			opt, err1 := exec.LookPath(filepath.Join(d, "opt"+s))
			llc, err2 := exec.LookPath(filepath.Join(d, "llc"+s))
			if err1 != nil || err2 != nil {
				continue
			}
			v, major := version(llc)
			if major >= MinVersion {
				return &Tools{Opt: opt, LLC: llc, Version: v}, nil
			}
			old = fmt.Sprintf("; %s is version %s, want %d or newer", llc, v, MinVersion)
		}
	}
	return nil, fmt.Errorf("%w: looked for opt-19 and llc-19 in NNC_LLVM, PATH and /usr/lib/llvm-19/bin%s; install it with: %s", ErrNotFound, old, InstallHint)
})

var versionLine = regexp.MustCompile(`LLVM version (\d+)[\d.]*`)

func version(llc string) (text string, major int) {
	out, err := exec.Command(llc, "--version").Output()
	if err != nil {
		return "", 0
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return "", 0
	}
	major, _ = strconv.Atoi(string(m[1]))
	return strings.TrimPrefix(string(m[0]), "LLVM version "), major
}

// runTool runs a program on in and gives its output; complaints become part of the error.
func runTool(ctx context.Context, in []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(in)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, firstLines(msg.String(), 10))
	}
	if s := msg.String(); strings.Contains(s, "stack frame size") {
		return nil, fmt.Errorf("%s: %s", filepath.Base(name), firstLines(s, 10))
	}
	return out.Bytes(), nil
}

func firstLines(s string, n int) string {
	l := strings.SplitN(s, "\n", n+1)
	return strings.Join(l[:min(n, len(l))], "\n")
}
