package source

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// kubeletLink begins the names with which kubelet swaps the files of a mounted
// Secret or ConfigMap: each is a symbolic link to ..data/name, and ..data is one to
// a new directory for each change (k8s.io/kubernetes/pkg/volume/util/atomic_writer.go).
const kubeletLink = "..data"

// linked reports whether a file, or one of a pattern, is behind a symbolic link
// that is not kubelet's: its directory does not show its changes.
func linked(name string) bool {
	names, err := match(name)
	if err != nil { // there is none yet
		names = []string{filepath.Dir(name)}
	}
	for _, name := range names {
		for ; ; name = filepath.Dir(name) {
			target, err := os.Readlink(name)
			if err == nil && filepath.Base(name) != kubeletLink && !strings.HasPrefix(target, kubeletLink+"/") {
				return true
			}
			if name == filepath.Dir(name) {
				break
			}
		}
	}
	return false
}

// watcher finds the clusters that a changed file belongs to. It watches the
// directories of the files, so that it also sees a file that is replaced. All its
// methods except events are for one goroutine.
type watcher struct {
	log      *slog.Logger
	notify   *fsnotify.Watcher // nil if the system cannot
	dirs     map[string]*directory
	files    map[string][]*state
	patterns map[string][]*state // by directory
}

// directory is one that is watched, or that could not be.
type directory struct {
	users   int // files and patterns in it
	watched bool
}

func newWatcher(log *slog.Logger) *watcher {
	w := &watcher{log: log, dirs: map[string]*directory{}, files: map[string][]*state{}, patterns: map[string][]*state{}}
	var err error
	if w.notify, err = fsnotify.NewBufferedWatcher(1024); err != nil {
		w.notify = nil
		log.Warn("files cannot be watched, and are checked every second", "error", err)
	}
	return w
}

func (w *watcher) close() {
	if w.notify != nil {
		w.notify.Close()
	}
}

// events are the files that have changed.
func (w *watcher) events() <-chan fsnotify.Event {
	if w.notify == nil {
		return nil
	}
	return w.notify.Events
}

// faults say that events were lost.
func (w *watcher) faults() <-chan error {
	if w.notify == nil {
		return nil
	}
	return w.notify.Errors
}

// add starts watching a file, or the files of a pattern, for a cluster, and reports
// whether that is possible. Without a cluster only the directory is watched.
func (w *watcher) add(name string, s *state) bool {
	name = filepath.Clean(name)
	path := filepath.Dir(name)
	if w.notify == nil || isPattern(path) {
		return false
	}
	dir := w.dirs[path]
	if dir == nil {
		dir = &directory{}
		w.dirs[path] = dir
	}
	dir.users++
	if s != nil && isPattern(name) {
		w.patterns[path] = append(w.patterns[path], s)
	} else if s != nil {
		w.files[name] = append(w.files[name], s)
	}
	return w.watch(path, dir)
}

func (w *watcher) watch(path string, dir *directory) bool {
	if !dir.watched {
		err := w.notify.Add(path)
		if err != nil {
			w.log.Debug("a directory cannot be watched, and is checked every second", "directory", path, "error", err)
		}
		dir.watched = err == nil
	}
	return dir.watched
}

// remove undoes [watcher.add].
func (w *watcher) remove(name string, s *state) {
	name = filepath.Clean(name)
	path := filepath.Dir(name)
	dir := w.dirs[path]
	if dir == nil {
		return
	}
	in, key := w.files, name
	if isPattern(name) {
		in, key = w.patterns, path
	}
	rest := in[key]
	if i := slices.Index(rest, s); i >= 0 {
		rest = slices.Delete(rest, i, i+1)
	}
	if in[key] = rest; len(rest) == 0 {
		delete(in, key)
	}
	if dir.users--; dir.users == 0 {
		delete(w.dirs, path)
		if dir.watched {
			w.notify.Remove(path) // it may be gone
		}
	}
}

// users are the clusters to which a changed file, or a removed directory, may
// belong. Those of a removed directory must be checked until it is back.
func (w *watcher) users(e fsnotify.Event) (users []*state, blind bool) {
	if dir := w.dirs[e.Name]; dir != nil && e.Has(fsnotify.Remove|fsnotify.Rename) {
		dir.watched = false
		return w.within(e.Name), true
	}
	path := filepath.Dir(e.Name)
	if strings.HasPrefix(filepath.Base(e.Name), kubeletLink) {
		return w.within(path), false
	}
	return slices.Concat(w.files[e.Name], w.patterns[path]), false
}

// within lists the clusters with files in a directory.
func (w *watcher) within(path string) []*state {
	users := slices.Clone(w.patterns[path])
	for file, states := range w.files {
		if filepath.Dir(file) == path {
			users = append(users, states...)
		}
	}
	return users
}
