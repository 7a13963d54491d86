package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// readScript prints, for each of the files, an x and its content, or nothing if there
// is none, and $1.
const readScript = `end=$1; shift
for f; do
  if [ -e "$f" ]; then printf x; cat -- "$f" || exit; fi
  printf %s "$end"
done`

// ReadFile is the content of a file and whether it exists.
func (n Node) ReadFile(ctx context.Context, file string) ([]byte, bool, error) {
	files, err := n.ReadFiles(ctx, file)
	if err != nil {
		return nil, false, err
	}
	return files[0], files[0] != nil, nil
}

// ReadFiles are the contents of some files by one command; nil for one that does not
// exist. They are read in this order.
func (n Node) ReadFiles(ctx context.Context, files ...string) ([][]byte, error) {
	end := rand.Text() // which no file holds by chance
	b, err := n.Output(ctx, "sh", append([]string{"-c", readScript, "sh", end}, files...)...)
	if err != nil {
		return nil, fmt.Errorf("reading %s on node %s: %w", strings.Join(files, ", "), n.Name, err)
	}
	all := bytes.Split(b, []byte(end))
	if len(all) != len(files)+1 {
		return nil, fmt.Errorf("reading %s on node %s: %d files came", strings.Join(files, ", "), n.Name, len(all)-1)
	}
	all = all[:len(files)]
	for i, content := range all {
		if all[i] = nil; len(content) > 0 {
			all[i] = content[1:]
		}
	}
	return all, nil
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

// modifiedScript prints the second in which file $1 was last written.
const modifiedScript = `exec stat -c %Y -- "$1"`

// Modified is when a file was last written, by the clock of the node, in whole seconds.
func (n Node) Modified(ctx context.Context, file string) (time.Time, error) {
	b, err := n.Output(ctx, "sh", "-c", modifiedScript, "sh", file)
	if err == nil {
		var seconds int64
		if seconds, err = strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
			return time.Unix(seconds, 0), nil
		}
	}
	return time.Time{}, fmt.Errorf("when was %s written on node %s: %w", file, n.Name, err)
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
