package kindenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// cache holds what was built, in folders named <name>-<key>. The key covers everything that the content depends
// on, so an entry is never stale; it is built beside its place and renamed into it, so an entry that is there is
// whole.
type cache struct {
	dir string
	log *logger
}

func newCache(log *logger) (cache, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return cache{}, fmt.Errorf("finding the cache folder: %w", err)
	}
	c := cache{dir: filepath.Join(base, "openirsa", "e2e"), log: log}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return cache{}, fmt.Errorf("making the cache folder: %w", err)
	}
	return c, nil
}

// keyOf is the key of what depends on these strings: script texts, versions, keys of other entries.
func keyOf(parts ...string) string {
	h := sha256.New()
	for _, p := range append(slices.Clone(parts), runtime.GOARCH) {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// unused entries are removed after this time; a new key otherwise leaves a gigabyte behind for ever.
const unused = 14 * 24 * time.Hour

// entry returns the folder of an entry. If it is not there, build fills a temporary folder that becomes it.
func (c cache) entry(ctx context.Context, name, key string, build func(ctx context.Context, dir string) error) (string, error) {
	path := filepath.Join(c.dir, name+"-"+key)
	use := func() (string, error) {
		now := time.Now()
		return path, os.Chtimes(path, now, now)
	}
	if _, err := os.Stat(path); err == nil {
		return use()
	}
	lock, err := lockFile(ctx, filepath.Join(c.dir, name+".lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(path); err == nil { // another process built it while we waited
		return use()
	}
	if err := c.sweep(name); err != nil {
		return "", err
	}
	tmp := filepath.Join(c.dir, name+".tmp")
	defer c.log.step("built " + name)()
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return "", fmt.Errorf("making %s: %w", name, err)
	}
	err = build(ctx, tmp)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("making %s: %w", name, err), removeTree(tmp))
	}
	return path, nil
}

// sweep removes what an interrupted build of name left, and entries of name that nothing used for long.
func (c cache) sweep(name string) error {
	list, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, f := range list {
		stale := f.Name() == name+".tmp"
		if rest, ok := strings.CutPrefix(f.Name(), name+"-"); ok && len(rest) == 16 {
			if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > unused {
				stale = true
			}
		}
		if stale {
			if err := removeTree(filepath.Join(c.dir, f.Name())); err != nil {
				return fmt.Errorf("removing stale %s: %w", f.Name(), err)
			}
		}
	}
	return nil
}

// removeTree removes a folder after everything that is mounted below it: a root file system whose making was
// interrupted has the machine's own /proc and /sys in it.
func removeTree(dir string) error {
	if err := unmountBelow(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
