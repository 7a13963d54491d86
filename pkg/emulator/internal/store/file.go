package store

import (
	"fmt"
	"os"
	"runtime/debug"
)

// stateMode is the mode of the state file, which holds secret keys.
const stateMode = 0o600

// openStateFile opens the state file, or makes it. It must be a file of its own,
// no link and no pipe, of the user who runs the emulator; a mode that lets
// others read it, as volumes of Kubernetes make it, is corrected.
func openStateFile(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := openNoFollow(path, flag, mode)
	if err != nil {
		return nil, err
	}
	if err := checkStateFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkStateFile(f *os.File) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("it is no regular file but %s", info.Mode().Type())
	}
	if owner, ok := ownerOf(info); ok && owner != os.Geteuid() {
		return fmt.Errorf("it is of the user %d, and this program runs as %d: whoever owns the file can read its keys and "+
			"change them", owner, os.Geteuid())
	}
	if info.Mode().Perm() != stateMode {
		if err := f.Chmod(stateMode); err != nil {
			return fmt.Errorf("its mode %04o lets others read its keys: %w", info.Mode().Perm(), err)
		}
	}
	return nil
}

// damagedError means that the state file is not what was written to it.
type damagedError struct {
	path  string
	fault any // what bbolt, or the processor, found
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("the state file %q is damaged (%v): stop the emulator and put a copy of the file, or no file, in "+
		"its place", e.path, e.fault)
}

// guarded runs what reads or writes the file. bbolt takes the file for what it
// wrote and panics if it is not, and where the file was cut off the memory that
// it is mapped to is none; both are errors here.
func guarded(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = &damagedError{path, fault}
		}
	}()
	return f()
}
