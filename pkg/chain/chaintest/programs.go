package chaintest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/openirsa/openirsa/internal/image"
)

const module = "github.com/openirsa/openirsa"

// build builds the program of the image into dir/linux-ARCH, from the source of this
// module.
func build(ctx context.Context, dir, arch string) error {
	source, err := sourceDir(ctx)
	if err != nil {
		return fmt.Errorf("finding the source of %s, of which the image is built: %w", module, err)
	}
	to := filepath.Join(dir, "linux-"+arch)
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-tags=grpcnotrace", "-o", to + string(filepath.Separator),
		"./cmd/" + image.Whole}
	// What the environment says of modules is about the tests' own.
	env := []string{"GOOS=linux", "GOARCH=" + arch, "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS="}
	if _, err := goTool(ctx, source, env, args...); err != nil {
		return fmt.Errorf("building the image: %w", err)
	}
	return nil
}

// sourceDir is where the source of this module is, as the module sees it in whose
// tests this runs.
func sourceDir(ctx context.Context) (string, error) {
	out, err := goTool(ctx, "", nil, "list", "-mod=readonly", "-m", "-json", module)
	if err != nil {
		return "", err
	}
	var found struct {
		Dir, Version string
		Replace      *struct{ Dir string }
	}
	if err := json.Unmarshal(out, &found); err != nil {
		return "", err
	}
	if found.Dir != "" {
		return found.Dir, nil
	}
	// The module is vendored, and its programs are not.
	if out, err = goTool(ctx, "", nil, "mod", "download", "-json", module+"@"+found.Version); err != nil {
		return "", err
	}
	if err := json.Unmarshal(out, &found); err != nil {
		return "", err
	}
	return found.Dir, nil
}

func goTool(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}
