//go:build !linux

package wal

import "os"

// allocate gives the file its blocks, zeroed.
func allocate(f *os.File, size int64) error { return writeZeros(f, size) }
