package app

import (
	"context"
	"fmt"
	"net"
	"time"

	"dragoman/envoy/bootstrap"
	"dragoman/envoy/process"
)

// startTimeout is how long Envoy may take until it serves: it has to load its program, connect and warm its clusters.
const startTimeout = 30 * time.Second

// startEnvoy starts the supervised Envoy and waits until it serves. Its later death goes to failed.
func (a *App) startEnvoy(ctx context.Context, at net.Addr, failed chan<- error) error {
	cfg := a.serving.Load().Config.GetEnvoy()
	binary := a.o.EnvoyBinary
	if binary == "" {
		binary = cfg.GetBinary()
	}
	path, err := process.Find(binary)
	if err != nil {
		return err
	}
	text, err := bootstrap.Render(bootstrap.Params{Processor: addressOf(at), Admin: cfg.GetAdminAddress()})
	if err != nil {
		return err
	}
	begin := time.Now()
	p, err := process.Start(ctx, process.Options{
		Binary: path, Bootstrap: text, Dir: a.runDir, Concurrency: cfg.GetConcurrency(), LogLevel: cfg.GetLogLevel(),
	})
	if err != nil {
		return err
	}
	a.envoy = p
	if err := a.awaitEnvoy(ctx, p); err != nil {
		a.keepDir.Store(true)
		p.Stop(ctx, 0)
		return err
	}
	a.log.Info("Envoy serves", "version", p.Version, "pid", p.PID(), "log", p.LogPath(), "after", time.Since(begin).Round(time.Millisecond).String())
	go func() {
		err := p.Err()
		if !a.stopping.Load() {
			a.keepDir.Store(true)
			failed <- err
		}
	}()
	return nil
}

// awaitEnvoy waits by Envoy's admin port and its ACKs, never by its log.
func (a *App) awaitEnvoy(ctx context.Context, p *process.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.WaitReady(ctx); err != nil {
		return fmt.Errorf("Envoy does not get ready: %w. Its log is %s and ends:\n%s", err, p.LogPath(), p.Tail())
	}
	if err := a.xds.WaitApplied(ctx); err != nil {
		return fmt.Errorf("%w. Envoy's log is %s and ends:\n%s", err, p.LogPath(), p.Tail())
	}
	return nil
}

// stopEnvoy ends the supervised Envoy, requests in flight first.
func (a *App) stopEnvoy(drain time.Duration) {
	if a.envoy == nil {
		return
	}
	a.stopping.Store(true)
	if cut := a.envoy.Stop(context.Background(), drain); cut > 0 {
		a.log.Warn("requests were cut: they did not end within the drain time", "requests", cut, "drain", drain.String())
	}
}

// addressOf is a listener's address as the bootstrap writes it.
func addressOf(at net.Addr) string {
	if at.Network() == "unix" {
		return "unix://" + at.String()
	}
	return at.String()
}
