package wal

import (
	"os"
	"syscall"
)

// allocate gives the file its blocks, zeroed. A file system that cannot (NFS, ZFS) gets zeros written.
func allocate(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if err == syscall.EOPNOTSUPP || err == syscall.ENOSYS {
		return writeZeros(f, size)
	}
	return err
}
