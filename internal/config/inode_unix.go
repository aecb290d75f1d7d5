//go:build unix

package config

import (
	"os"
	"syscall"
)

// inode tells a replaced file from the one it replaced.
func inode(info os.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
