package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// procStat is what /proc/PID/stat says of a process (proc(5)).
type procStat struct {
	pid, parent  int
	name         string
	user, system uint64 // CPU time of all threads, in clock ticks
	started      uint64 // clock ticks after the boot: with pid, who a process is
}

// parseStat reads the line. The name stands in parentheses and may hold spaces and parentheses of its own.
func parseStat(line string) (s procStat, err error) {
	open, shut := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 1 || shut < open {
		return s, fmt.Errorf("not a line of /proc/PID/stat: %q", line)
	}
	s.name = line[open+1 : shut]
	if s.pid, err = strconv.Atoi(strings.TrimSpace(line[:open])); err != nil {
		return s, fmt.Errorf("pid in %q: %w", line, err)
	}
	// From here fields count from 3, the process's state.
	fields := strings.Fields(line[shut+1:])
	if len(fields) < 20 {
		return s, fmt.Errorf("too few fields in %q", line)
	}
	if s.parent, err = strconv.Atoi(fields[4-3]); err != nil {
		return s, fmt.Errorf("parent in %q: %w", line, err)
	}
	for _, f := range []struct {
		at int
		to *uint64
	}{{14, &s.user}, {15, &s.system}, {22, &s.started}} {
		if *f.to, err = strconv.ParseUint(fields[f.at-3], 10, 64); err != nil {
			return s, fmt.Errorf("field %d in %q: %w", f.at, line, err)
		}
	}
	return s, nil
}

func statOf(proc string, pid int) (procStat, error) {
	b, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(b))
}

// childNamed finds a child of a process by its name, under a /proc folder.
func childNamed(proc string, parent int, name string) (procStat, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return procStat{}, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process that has ended meanwhile is not it.
		if s, err := statOf(proc, pid); err == nil && s.parent == parent && s.name == name {
			return s, nil
		}
	}
	return procStat{}, fmt.Errorf("process %d has no child named %s", parent, name)
}
