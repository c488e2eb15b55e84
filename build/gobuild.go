package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// GoBuild runs `go build` on the module in dir, in an environment that does not depend on the user's
// Go settings, so that equal sources give equal bytes; args go before the package.
func GoBuild(ctx context.Context, dir string, env []string, args ...string) error {
	tool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("build: needs the Go toolchain (https://go.dev/dl) in PATH: %w", err)
	}
	args = append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="}, args...)
	cmd := exec.CommandContext(ctx, tool, append(args, ".")...)
	cmd.Dir = dir
	cmd.Env = append(goEnv(dir), env...)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("build: go build: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// goKeep are the Go variables of the user's that go build gets to see: where things are, not what to do.
var goKeep = map[string]bool{"GOROOT": true, "GOCACHE": true, "GOPATH": true, "GOMODCACHE": true, "GOTMPDIR": true, "GOMAXPROCS": true}

func goEnv(dir string) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "GO") && !goKeep[name] || strings.HasPrefix(name, "CGO_") {
			continue
		}
		env = append(env, kv)
	}
	if _, err := os.UserCacheDir(); err != nil && os.Getenv("GOCACHE") == "" {
		env = append(env, "GOCACHE="+filepath.Join(dir, ".gocache"))
	}
	return append(env, "GOENV=off", "GOFLAGS=-mod=mod", "GOWORK=off", "GOTOOLCHAIN=local", "GO111MODULE=on", "GOPROXY=off", "GOSUMDB=off",
		"GOAMD64=v1", "GOARM64=v8.0", "GOTELEMETRY=off")
}
