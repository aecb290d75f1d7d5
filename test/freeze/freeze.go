// Package freeze stops a server of a test as a machine without processor time would: its connections stay open, and nothing answers.
package freeze

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process sends SIGSTOP and waits until the process stands still: on a busy machine it may answer for a while after the signal was sent.
// Where there is no /proc, the signal has to do.
func Process(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		stopped, err := standsStill(pid)
		if err != nil || stopped {
			return nil
		}
	}
	return fmt.Errorf("freeze: process %d does not stop", pid)
}

// Thaw lets it go on.
func Thaw(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }

// standsStill says whether every thread is stopped.
func standsStill(pid int) (bool, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, t := range threads {
		text, err := os.ReadFile(dir + "/" + t.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// "pid (name) state …"; a name may hold anything but the last closing parenthesis.
		if after := strings.TrimSpace(string(text[strings.LastIndexByte(string(text), ')')+1:])); !strings.HasPrefix(after, "T") {
			return false, nil
		}
	}
	return true, nil
}
