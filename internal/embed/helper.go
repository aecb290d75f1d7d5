package embed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"dragoman/internal/embed/frame"
)

// onnxTelemetryOff is read by ONNX Runtime when it is loaded.
const onnxTelemetryOff = "ORT_DISABLE_TELEMETRY=1"

// helper is one running helper process.
type helper struct {
	cmd        *exec.Cmd
	stdin      io.WriteCloser
	stderr     *tail
	dimensions int
	ended      chan struct{} // closed when nothing more will be read from it
	fault      error         // why, set before ended is closed

	mu      sync.Mutex // also orders the writes
	next    uint32
	pending map[uint32]*call
	dead    bool
}

type reply struct {
	vector []float32
	err    error
}

// call is a text on its way through the helper.
type call struct {
	sent  time.Time
	reply chan reply // of capacity 1: whoever asked may have gone
	done  func()
}

func startHelper(ctx context.Context, folder string, workers int) (*helper, error) {
	h := &helper{stderr: &tail{}, ended: make(chan struct{}), pending: map[uint32]*call{}}
	h.cmd = exec.Command(filepath.Join(folder, helperFile), "--folder", folder, "--workers", strconv.Itoa(workers))
	h.cmd.Env = helperEnv()
	h.cmd.Stderr = h.stderr
	h.cmd.WaitDelay = endLimit
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(stdout, 64<<10)
	hello := make(chan error, 1)
	go func() {
		hello <- h.hello(in)
		h.read(in)
	}()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	select {
	case err = <-hello:
	case <-limit.C:
		err = fmt.Errorf("the helper is not ready after %s", startLimit)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, h.end(err)
	}
	return h, nil
}

// helperEnv leaves the providers' keys out: the helper runs code that is not Dragoman's. ONNX Runtime would otherwise report its use to
// its vendor (core/platform/telemetry_1ds.cc), and keep a file about that.
func helperEnv() []string {
	env := []string{"GODEBUG=" + os.Getenv("GODEBUG"), onnxTelemetryOff}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func (h *helper) hello(in io.Reader) error {
	id, body, err := frame.Read(in)
	if err != nil {
		return fmt.Errorf("the helper ended at once: %w", err)
	}
	if id != 0 {
		return errors.New("the helper did not introduce itself")
	}
	h.dimensions, err = frame.ParseHello(body)
	return err
}

// read gives replies to those who wait for them, until the helper ends.
func (h *helper) read(in io.Reader) {
	defer close(h.ended)
	for {
		id, body, err := frame.Read(in)
		if err != nil {
			h.abandon(err)
			return
		}
		h.mu.Lock()
		c := h.pending[id]
		delete(h.pending, id)
		h.mu.Unlock()
		if c == nil {
			h.abandon(fmt.Errorf("the helper answered %d, which nobody asked", id))
			return
		}
		var r reply
		r.vector, r.err = frame.ParseReply(body, h.dimensions)
		c.reply <- r
		c.done()
	}
}

// abandon tells all who wait that nothing will come.
func (h *helper) abandon(why error) {
	h.mu.Lock()
	calls := h.pending
	h.pending, h.dead, h.fault = nil, true, why
	h.mu.Unlock()
	for _, c := range calls {
		c.reply <- reply{err: ErrAway}
		c.done()
	}
}

// send asks for the vector of ids. done is called once, when the helper has nothing more to do for it.
func (h *helper) send(ids []uint16, done func()) <-chan reply {
	c := &call{sent: time.Now(), reply: make(chan reply, 1), done: done}
	h.mu.Lock()
	if h.dead {
		h.mu.Unlock()
		c.reply <- reply{err: ErrAway}
		done()
		return c.reply
	}
	h.next++
	id := h.next
	h.pending[id] = c
	err := frame.Write(h.stdin, id, frame.Request(ids))
	h.mu.Unlock()
	if err != nil { // the reader sees the end too, and abandons this call with all others
		h.stdin.Close()
	}
	return c.reply
}

// wait returns when the helper has ended, was found hung, or ctx ended; the process is gone then.
func (h *helper) wait(ctx context.Context) error {
	check := time.NewTicker(hungAfter / 4)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return h.end(ctx.Err())
		case <-h.ended:
			return h.end(h.fault)
		case <-check.C:
			if h.hung(time.Now()) {
				return h.end(fmt.Errorf("the helper took more than %s for one text", hungAfter))
			}
		}
	}
}

func (h *helper) hung(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.pending {
		if now.Sub(c.sent) > hungAfter {
			return true
		}
	}
	return false
}

// end asks the process to end by closing its input, kills it when it does not, and adds to why what it said last.
func (h *helper) end(why error) error {
	h.stdin.Close()
	kill := time.AfterFunc(endLimit, func() { _ = h.cmd.Process.Kill() }) // an error means that it has ended
	defer kill.Stop()
	<-h.ended
	err := h.cmd.Wait()
	if said := h.stderr.String(); said != "" {
		return fmt.Errorf("%w: %s", why, said)
	}
	if err != nil && !errors.Is(why, context.Canceled) {
		return fmt.Errorf("%w (%w)", why, err)
	}
	return why
}

// tail keeps the end of what the helper writes to its standard error.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 2048

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p[max(len(p)-tailBytes, 0):]...)
	t.b = t.b[max(len(t.b)-tailBytes, 0):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(bytes.TrimSpace(t.b)), "?")
}
