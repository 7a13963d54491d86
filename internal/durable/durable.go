// Package durable writes files that are either complete or absent, even after a
// crash, and reads files that others may have put there.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// WriteFile replaces the file at path with data and mode, as [Write] does.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return Write(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Write replaces the file at path with what write writes, and mode. It is written
// to a temporary file in the same directory, synced, renamed over path, and
// the directory is synced:
//
//	openat(dir, ".openirsa-*", O_CREAT|O_EXCL) = tmp
//	write(tmp, data); fchmod(tmp, mode); fsync(tmp); close(tmp)
//	rename(tmp, path); fsync(dir)
//
// On an error path is as it was and the temporary file is gone.
func Write(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".openirsa-*") // 0600 until it is complete
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	if err = write(tmp); err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it refuses to flush a directory that is open for reading, and none opens for writing
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
