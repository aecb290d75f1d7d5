//go:build !linux

package sqldb

import (
	"os"
	"time"
)

// forget does nothing where there is no fadvise: what is cold is the database's own cache alone.
func forget(*os.File) {}

var started = time.Now()

// cpuTime is taken for the time that has gone by.
func cpuTime() time.Duration { return time.Since(started) }
