package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// child is a process that this one started, and the only kind that it ever ends.
type child struct {
	name string
	cmd  *exec.Cmd
	log  string // file of its output
	done chan struct{}
	err  error // how it ended, once done is closed

	stdin io.Closer
	once  sync.Once
}

const (
	stopGrace = 10 * time.Second // from SIGTERM to SIGKILL
	logTail   = 40               // lines of a log that are shown
)

// start runs a program, its output in dir. A terminal's Ctrl-C does not reach it: it is this process that ends it.
func start(name, dir string, cmd *exec.Cmd) (*child, error) {
	c := &child{name: name, cmd: cmd, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// ended is the error of a child that ended although nobody asked it to, nil while it runs.
func (c *child) ended() error {
	select {
	case <-c.done:
		return fmt.Errorf("%s ended by itself: %v", c.name, c.err)
	default:
		return nil
	}
}

// stop ends the child and waits for its end.
func (c *child) stop() {
	c.once.Do(func() {
		c.stdin.Close()
		c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.done:
		case <-time.After(stopGrace):
			c.cmd.Process.Kill()
			<-c.done
		}
	})
}

// startProvider starts this program again as the fake provider.
func startProvider(dir, listen string, pace time.Duration) (*child, providerAddresses, error) {
	var a providerAddresses
	self, err := os.Executable()
	if err != nil {
		return nil, a, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, a, err
	}
	defer out.Close()
	cmd := exec.Command(self, "provider", "--listen", listen, "--pace", pace.String())
	cmd.Stdout = in
	c, err := start("provider", dir, cmd)
	in.Close()
	if err != nil {
		return nil, a, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		c.stop()
		return nil, a, fmt.Errorf("the provider did not say where it listens: %w\n%s", err, tail(c.log))
	}
	return c, a, nil
}

// poll tries until it succeeds, alive reports an error, or ctx ends. Then the error is that of the last try that ctx did not cut
// short.
func poll(ctx context.Context, what string, alive, try func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := try()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if dead := alive(); dead != nil {
			return dead
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (%w)", what, last, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// tail is the end of a log, for a person who has to find out what went wrong.
func tail(path string) string {
	b, err := lastBytes(path, 64<<10)
	if err != nil {
		return err.Error() + "\n"
	}
	lines := bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n"))
	if len(lines) > logTail {
		lines = lines[len(lines)-logTail:]
	}
	return fmt.Sprintf("--- %s ends:\n%s\n", path, bytes.Join(lines, []byte("\n")))
}

// lastBytes reads the last bytes of a file, at most so many.
func lastBytes(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(0, info.Size()-most), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, most))
}
