package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time that a process has used so far: user and system, of all threads, ended ones too. The process's
// CPU clock counts nanoseconds; /proc/PID/stat counts hundredths of a second. Its id is made as clock_getcpuclockid(3)
// does it.
func cpuTime(pid int) (time.Duration, error) {
	const perProcessSched = 2
	const most = 1 << 22 // PID_MAX_LIMIT of Linux; far larger ones would wrap around to another clock
	if pid < 1 || pid > most {
		return 0, fmt.Errorf("there is no process %d", pid)
	}
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|perProcessSched), &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
