package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// readScript tells a missing file (nothing at all) from an empty one.
const readScript = `[ -e "$1" ] || exit 0; printf x; exec cat -- "$1"`

// ReadFile is the content of a file and whether it exists.
func (n Node) ReadFile(ctx context.Context, file string) ([]byte, bool, error) {
	b, err := n.Output(ctx, "sh", "-c", readScript, "sh", file)
	if err != nil {
		return nil, false, fmt.Errorf("reading %s on node %s: %w", file, n.Name, err)
	}
	if len(b) == 0 {
		return nil, false, nil
	}
	return b[1:], true, nil
}

// writeScript replaces file $1 at once or not at all. The name of the
// temporary file starts with a dot because kubelet ignores such files in its
// manifest directory (pkg/kubelet/config/file.go). The digest $2 tells a
// complete input from one that ended because we were killed. A new file gets
// mode $3, an existing one keeps its own.
const writeScript = `set -eu
d=$(dirname -- "$1"); t="$d/.$(basename -- "$1").openirsa"
mkdir -p -- "$d"
(umask 077; cat >"$t")
[ "$(sha256sum <"$t" | cut -c1-64)" = "$2" ] || { rm -f -- "$t"; echo "input cut short" >&2; exit 1; }
if [ -e "$1" ]; then chmod --reference="$1" -- "$t"; chown --reference="$1" -- "$t"; else chmod "$3" -- "$t"; fi
sync -- "$t"
mv -f -T -- "$t" "$1"
sync -- "$d"`

// WriteFile replaces a file at once or not at all. Mode is that of a new file.
func (n Node) WriteFile(ctx context.Context, file string, data []byte, mode string) error {
	sum := sha256.Sum256(data)
	err := n.Exec(ctx, bytes.NewReader(data), io.Discard, "sh", "-c", writeScript, "sh", file, hex.EncodeToString(sum[:]), mode)
	if err != nil {
		return fmt.Errorf("writing %s on node %s: %w", file, n.Name, err)
	}
	return nil
}

// existsScript prints those of its arguments that exist.
const existsScript = `for f; do [ -e "$f" ] && printf '%s\n' "$f"; done; true`

// Existing are those of the files that exist.
func (n Node) Existing(ctx context.Context, files ...string) ([]string, error) {
	b, err := n.Output(ctx, "sh", append([]string{"-c", existsScript, "sh"}, files...)...)
	if err != nil {
		return nil, fmt.Errorf("looking for files on node %s: %w", n.Name, err)
	}
	return strings.Fields(string(b)), nil
}

// Remove removes files and directories with all they hold, if they exist.
func (n Node) Remove(ctx context.Context, files ...string) error {
	if err := n.Exec(ctx, nil, io.Discard, "rm", append([]string{"-rf", "--"}, files...)...); err != nil {
		return fmt.Errorf("removing %s on node %s: %w", strings.Join(files, ", "), n.Name, err)
	}
	return nil
}

// copyScript puts the content of file $1 into file $2, which keeps its owner
// and mode, at once or not at all. It does not leave the node.
const copyScript = `set -eu
d=$(dirname -- "$2"); t="$d/.$(basename -- "$2").openirsa"
(umask 077; cat -- "$1" >"$t")
chmod --reference="$2" -- "$t"; chown --reference="$2" -- "$t"
sync -- "$t"
mv -f -T -- "$t" "$2"
sync -- "$d"`

// CopyFile replaces a file with the content of another, at once or not at all. The
// file that is replaced keeps its owner and mode.
func (n Node) CopyFile(ctx context.Context, from, to string) error {
	if err := n.Exec(ctx, nil, io.Discard, "sh", "-c", copyScript, "sh", from, to); err != nil {
		return fmt.Errorf("replacing %s with %s on node %s: %w", to, from, n.Name, err)
	}
	return nil
}
