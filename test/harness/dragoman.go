package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"dragoman/internal/app"
)

// dragoman is a running Dragoman: in this process or in one of its own.
type dragoman interface {
	reload(context.Context) error
	stop() error // lets it end as SIGTERM would, and returns its error
	done() <-chan struct{}
	err() error // after done
}

// startDragoman starts Dragoman on the gateway's socket and waits for its admin port.
func (g *Gateway) startDragoman(ctx context.Context) error {
	var d dragoman
	var err error
	if g.opts.Subprocess {
		d, err = g.spawn(ctx)
	} else {
		d, err = g.runHere(ctx)
	}
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.dragoman = d
	g.mu.Unlock()
	return g.until(ctx, "Dragoman does not start", func() error {
		_, err := g.get(ctx, "/healthz")
		return err
	})
}

// StopDragoman ends Dragoman as SIGTERM would; Envoy runs on.
func (g *Gateway) StopDragoman() error {
	g.mu.Lock()
	d := g.dragoman
	g.dragoman = nil
	g.mu.Unlock()
	if d == nil {
		return nil
	}
	return d.stop()
}

// KillDragoman ends Dragoman at once, as a crash would (needs Options.Subprocess).
func (g *Gateway) KillDragoman() error {
	g.mu.Lock()
	d, ok := g.dragoman.(*child)
	if ok {
		g.dragoman = nil
	}
	g.mu.Unlock()
	if !ok {
		return errors.New("harness: only a Dragoman of its own process can be killed")
	}
	return d.kill()
}

// RestartDragoman starts Dragoman again with the same configuration file, and returns when Envoy is connected to it.
func (g *Gateway) RestartDragoman(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := g.StopDragoman(); err != nil {
		return err
	}
	if err := g.startDragoman(ctx); err != nil {
		return err
	}
	if g.envoy == nil {
		return nil
	}
	return g.waitServing(ctx)
}

// inProcess is Dragoman as a value of this process.
type inProcess struct {
	app    *app.App
	cancel context.CancelFunc
	ended  chan struct{}
	failed error
}

func (g *Gateway) runHere(ctx context.Context) (dragoman, error) {
	env := g.env()
	a, err := app.New(app.Options{
		ConfigFile: g.config, Admin: "127.0.0.1:0", Processor: "unix://" + g.socket(), Stdout: g.log, Stderr: g.log,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &inProcess{app: a, cancel: cancel, ended: make(chan struct{})}
	go func() {
		p.failed = a.Run(run)
		close(p.ended)
	}()
	select {
	case <-a.Ready():
		g.Admin = "http://" + a.AdminAddr()
		return p, nil
	case <-p.ended:
		return nil, errors.Join(errors.New("this Dragoman has ended"), p.failed)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), p.stop())
	}
}

func (p *inProcess) reload(context.Context) error { return p.app.Reload() }
func (p *inProcess) done() <-chan struct{}        { return p.ended }
func (p *inProcess) err() error                   { return p.failed }

func (p *inProcess) stop() error {
	p.cancel()
	select {
	case <-p.ended:
		return p.failed
	case <-time.After(30 * time.Second):
		return errors.New("this Dragoman does not stop")
	}
}

// child is Dragoman as a process.
type child struct {
	cmd    *exec.Cmd
	loads  func(context.Context) (configStatus, error)
	ended  chan struct{}
	failed error
}

// binary is the program that children run, built once for all gateways of a test binary.
var binary struct {
	once sync.Once
	path string
	err  error
}

func build() (string, error) {
	binary.once.Do(func() {
		dir, err := os.MkdirTemp("", "dragoman-bin-")
		if err != nil {
			binary.err = err
			return
		}
		binary.path = filepath.Join(dir, "dragoman")
		_, file, _, _ := runtime.Caller(0)
		cmd := exec.Command("go", "build", "-o", binary.path, "./cmd/dragoman")
		cmd.Dir = filepath.Join(filepath.Dir(file), "..", "..")
		if out, err := cmd.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	return binary.path, binary.err
}

func removeBinary() {
	if binary.path != "" {
		_ = os.RemoveAll(filepath.Dir(binary.path))
	}
}

func (g *Gateway) spawn(context.Context) (dragoman, error) {
	path, err := build()
	if err != nil {
		return nil, err
	}
	port, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "serve", "--config", g.config, "--admin", port, "--processor", "unix://"+g.socket(), "--drain", "0s")
	cmd.Env = environment(g.env())
	cmd.Stdout, cmd.Stderr = g.log, g.log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, loads: g.configStatus, ended: make(chan struct{})}
	go func() {
		c.failed = cmd.Wait()
		close(c.ended)
	}()
	g.Admin = "http://" + port
	return c, nil
}

// freeAddress is a port that was free a moment ago: a child cannot tell which one it got.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func environment(env map[string]string) []string {
	all := map[string]string{"PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME")}
	maps.Copy(all, env)
	var out []string
	for k, v := range all {
		out = append(out, k+"="+v)
	}
	return out
}

// reload returns when the process has read its configuration, or refused it.
func (c *child) reload(ctx context.Context) error {
	before, err := c.loads(ctx)
	if err != nil {
		return err
	}
	if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	for {
		now, err := c.loads(ctx)
		switch {
		case err != nil:
			return err
		case now.Failures > before.Failures:
			return errors.New(now.LastError)
		case now.Loads > before.Loads:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}

func (c *child) done() <-chan struct{} { return c.ended }
func (c *child) err() error            { return c.failed }

func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.ended:
		return c.failed
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("this Dragoman does not stop"), c.kill())
	}
}

func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-c.ended
	return nil
}
