package kindenv

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
)

// Tool is the path of a program that release/tool of a checkout builds into the cache, in the version that is pinned there.
func Tool(ctx context.Context, log io.Writer, checkout, name string) (string, error) {
	c := exec.CommandContext(ctx, "sh", filepath.Join(checkout, "release", "tool"), name)
	c.Stderr = log
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
