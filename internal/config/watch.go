package config

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing must have happened before a load: an editor's or a kubelet's change is several events.
	quiet = 150 * time.Millisecond
	// longest bounds the wait for quiet in a folder that is never quiet.
	longest = 2 * time.Second
	// poll finds what the file system does not tell: network mounts, a full inotify table, a link to a link.
	poll = 10 * time.Second
)

// dependency is a file that a load read, or wanted to, and its state just before: what changes during the load is seen as a
// change after it.
type dependency struct {
	path  string
	state fileState
}

// fileState tells two states of a file apart by what stat says, links followed. The zero state is no file.
type fileState struct {
	exists   bool
	size     int64
	modified int64 // ns
	inode    uint64
}

func depend(path string) dependency {
	info, err := os.Stat(path)
	if err != nil {
		return dependency{path: path}
	}
	return dependency{path, fileState{true, info.Size(), info.ModTime().UnixNano(), inode(info)}}
}

func (d dependency) changed() bool { return depend(d.path) != d }

// Watch reloads whenever the configuration file or a file that it names (secret, certificate) has changed, until ctx
// is done. It watches folders, because editors and kubelets replace files, and looks every 10 s besides. Failed loads
// are in Status. The error is ctx's.
func (s *Store) Watch(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil { // no inotify to be had: the ticker alone
		watcher = &fsnotify.Watcher{}
	} else {
		defer watcher.Close()
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		if err == nil {
			follow(watcher, s.folders())
		}
		// A change between the load and the watch, or during the load, had no event.
		s.reloadIfChanged(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		case <-watcher.Events:
			settle(ctx, watcher)
		case <-watcher.Errors: // an overflow: events were lost
		}
	}
}

// settle waits until the folder is quiet.
func settle(ctx context.Context, watcher *fsnotify.Watcher) {
	deadline := time.NewTimer(longest)
	defer deadline.Stop()
	for {
		calm := time.NewTimer(quiet)
		select {
		case <-watcher.Events:
			calm.Stop()
		case <-calm.C:
			return
		case <-deadline.C:
			calm.Stop()
			return
		case <-ctx.Done():
			calm.Stop()
			return
		}
	}
}

// reloadIfChanged loads when the files are not as they were before the last load.
func (s *Store) reloadIfChanged(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || !slices.ContainsFunc(s.files, dependency.changed) {
		return
	}
	_ = s.reload() // Status has the error
}

// folders are those of the files, and those of what the files link to.
func (s *Store) folders() []string {
	s.mu.Lock()
	files := slices.Clone(s.files)
	s.mu.Unlock()
	var list []string
	for _, file := range files {
		list = append(list, filepath.Dir(file.path))
		if target, err := filepath.EvalSymlinks(file.path); err == nil {
			list = append(list, filepath.Dir(target))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// follow makes the watcher watch exactly these folders. What cannot be watched is left to the ticker.
func follow(watcher *fsnotify.Watcher, folders []string) {
	watched := watcher.WatchList()
	for _, folder := range watched {
		if !slices.Contains(folders, folder) {
			_ = watcher.Remove(folder)
		}
	}
	for _, folder := range folders {
		if !slices.Contains(watched, folder) {
			_ = watcher.Add(folder)
		}
	}
}
