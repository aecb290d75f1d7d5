package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Options of a start. Bootstrap is required.
type Options struct {
	Binary      string // as Find returns it; "": Find("")
	Bootstrap   []byte // as bootstrap.Render writes it, with the admin on port 0 or a fixed one
	Dir         string // private run folder, created with mode 0700; "": a new temporary one, removed by Stop
	Concurrency uint32 // worker threads, 0: one per core
	LogLevel    string // Envoy's, default warning
	LogBytes    int64  // bound of envoy.log in Dir; as much again for the file before it. Default 16 MiB
}

// Process is a running Envoy.
type Process struct {
	Version string // of the binary
	Dir     string // run folder: envoy.yaml, envoy.log, admin-address

	cmd     *exec.Cmd
	log     *logFile
	temp    bool
	stopped atomic.Bool // by Stop
	done    chan struct{}
	err     error // set before done is closed
}

const (
	bootstrapFile = "envoy.yaml"
	logName       = "envoy.log"
	adminFile     = "admin-address"
)

// ErrStopped is the reason of an end that Stop brought about.
var ErrStopped = errors.New("envoy was stopped")

// Start runs Envoy and returns as soon as the program runs; WaitReady says when it serves. On Linux the kernel kills Envoy when this
// program dies, however it dies. ctx bounds the start, not the life.
func Start(ctx context.Context, o Options) (*Process, error) {
	binary := o.Binary
	if binary == "" {
		var err error
		if binary, err = Find(""); err != nil {
			return nil, err
		}
	}
	version, err := Version(ctx, binary)
	if err != nil {
		return nil, err
	}
	p := &Process{Version: version, done: make(chan struct{})}
	if err := p.prepare(o); err != nil {
		p.clean()
		return nil, err
	}
	p.cmd = exec.Command(binary, p.args(o)...)
	p.cmd.Dir = p.Dir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = attributes()
	p.cmd.WaitDelay = time.Second // a grandchild that holds the pipe does not hold Wait
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		p.clean()
		return nil, fmt.Errorf("%s: %w", binary, err)
	}
	return p, nil
}

// prepare makes the run folder and what stands in it.
func (p *Process) prepare(o Options) error {
	var err error
	if p.Dir = o.Dir; p.Dir == "" {
		p.temp = true
		if p.Dir, err = os.MkdirTemp("", "dragoman-envoy-"); err != nil {
			return err
		}
	}
	if p.Dir, err = filepath.Abs(p.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(p.Dir, adminFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // an old one would be taken for the new Envoy's
	}
	if err := os.WriteFile(filepath.Join(p.Dir, bootstrapFile), o.Bootstrap, 0o600); err != nil {
		return err
	}
	limit := o.LogBytes
	if limit <= 0 {
		limit = 16 << 20
	}
	p.log, err = openLog(filepath.Join(p.Dir, logName), limit)
	return err
}

func (p *Process) args(o Options) []string {
	level := o.LogLevel
	if level == "" {
		level = "warning"
	}
	args := []string{
		"-c", filepath.Join(p.Dir, bootstrapFile),
		"--admin-address-path", filepath.Join(p.Dir, adminFile),
		"--log-level", level,
		"--disable-hot-restart",
		// A listener whose configuration changed tells its clients at once to go, and cuts the requests that are still under way
		// after this many seconds: longer than retry.timeout can be, so that a reload loses none.
		"--drain-strategy", "immediate", "--drain-time-s", "86400",
	}
	if o.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.FormatUint(uint64(o.Concurrency), 10))
	}
	return args
}

// run starts the program and waits for its end on one system thread: to the kernel the thread is the parent, and its end would be
// the parent's death.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	err = p.cmd.Wait()
	p.log.close()
	p.err = p.ending(err)
	close(p.done)
}

// ending turns how Envoy ended into an error that says why.
func (p *Process) ending(err error) error {
	how := "exit code 0"
	if err != nil {
		how = err.Error()
	}
	if p.stopped.Load() {
		return fmt.Errorf("%w (%s)", ErrStopped, how)
	}
	return fmt.Errorf("envoy ended by itself (%s). Its log is %s and ends:\n%s", how, p.log.path, p.log.last())
}

// Done is closed when Envoy has ended; Err says why.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err waits for Envoy's end and returns its reason, with the exit code or signal and the last lines of the log.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// PID is Envoy's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogPath is the file that holds Envoy's output.
func (p *Process) LogPath() string { return p.log.path }

// Tail returns the last lines of Envoy's output.
func (p *Process) Tail() string { return p.log.last() }

func (p *Process) clean() {
	if p.log != nil {
		p.log.close()
	}
	if p.temp && p.Dir != "" {
		os.RemoveAll(p.Dir)
	}
}

const (
	termGrace = 5 * time.Second        // from SIGTERM to SIGKILL
	drainPoll = 100 * time.Millisecond // between two looks at the requests under way
)

// Stop drains and ends Envoy: it tells clients to go, waits until no request is under way or drain has passed, and then
// terminates it, by force if need be. It returns the number of requests that were cut, and is safe to call on an Envoy that has
// ended. Cancelling ctx ends the drain at once.
func (p *Process) Stop(ctx context.Context, drain time.Duration) (cut int) {
	select {
	case <-p.done:
		p.clean()
		return 0
	default:
	}
	if drain > 0 {
		ctx, cancel := context.WithTimeout(ctx, drain)
		cut = p.drain(ctx)
		cancel()
	}
	p.stopped.Store(true)
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(termGrace):
		p.cmd.Process.Kill()
		<-p.done
	}
	p.clean()
	return cut
}

// drain returns the number of requests still under way when it ended.
func (p *Process) drain(ctx context.Context) int {
	// Every answer now asks its client to close the connection; then no new connection is taken.
	if err := errors.Join(p.post(ctx, "/healthcheck/fail"), p.post(ctx, "/drain_listeners")); err != nil {
		return 0 // an admin port that does not answer leaves nothing to wait by
	}
	active := 0
	ticker := time.NewTicker(drainPoll)
	defer ticker.Stop()
	for {
		n, err := p.Active(ctx)
		if err == nil {
			active = n
		}
		if err == nil && n == 0 {
			return 0
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return active
		case <-p.done:
			return active
		}
	}
}
