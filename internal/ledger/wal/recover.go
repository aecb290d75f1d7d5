package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// lockFolder keeps a second process out: two writers would each believe the other's segments to be an earlier start's.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the log's folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
	}
	return f, nil
}

// ErrLocked says that another process has the log open.
var ErrLocked = errors.New("another process writes to this log")

func unlockFolder(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	_ = f.Close()
}

func writeZeros(f *os.File, size int64) error {
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// recover opens the segments that earlier processes left, in their order, and removes those that were never begun.
func (l *Log) recover() error {
	entries, err := os.ReadDir(l.o.Dir)
	if err != nil {
		return fmt.Errorf("the log's folder: %w", err)
	}
	var numbers []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if n, err := strconv.ParseUint(name, 16, 64); ok && err == nil && len(name) == 16 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		l.number = max(l.number, n)
		path := filepath.Join(l.o.Dir, fmt.Sprintf("%016x%s", n, suffix))
		s, err := openSegment(path)
		if err != nil {
			return fmt.Errorf("the log's segment: %w", err)
		}
		switch {
		case s == nil:
			if err := setAside(path); err != nil {
				return err
			}
		case s.count == 0 && !s.torn && len(s.mark) == 0:
			s.remove()
		default:
			l.segments = append(l.segments, s)
		}
	}
	return nil
}

// setAside removes an empty file, and keeps one that holds something nobody can read.
func setAside(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the log's segment: %w", err)
	}
	for _, b := range data {
		if b != 0 {
			return os.Rename(path, path+".unreadable")
		}
	}
	return os.Remove(path)
}
