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
	if err := checkGatewayPort(a.serving.Load().Config.GetListen().GetAddress()); err != nil {
		return err
	}
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

// awaitEnvoy waits by Envoy's ACKs and its admin port, never by its log. The ACKs come first: an Envoy that refuses its first
// configuration never gets ready, and only the NACK says why.
func (a *App) awaitEnvoy(ctx context.Context, p *process.Process) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	alive, died := context.WithCancel(ctx)
	defer died()
	go func() {
		select {
		case <-p.Done():
			died()
		case <-alive.Done():
		}
	}()
	if err := a.xds.WaitApplied(alive); err != nil {
		select {
		case <-p.Done():
			return p.Err()
		default:
			return fmt.Errorf("%w. Envoy's log is %s and ends:\n%s", err, p.LogPath(), p.Tail())
		}
	}
	if err := p.WaitReady(ctx); err != nil {
		return fmt.Errorf("envoy does not get ready: %w. Its log is %s and ends:\n%s", err, p.LogPath(), p.Tail())
	}
	a.gatewayAddr, err = p.Listener(ctx)
	return err
}

// checkGatewayPort says in time, and in our words, that the port for clients is taken. Envoy itself would share it with
// another Envoy (SO_REUSEPORT): each would get some of the requests.
func checkGatewayPort(address string) error {
	lis, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("the gateway's port for clients cannot be opened: %w (choose another with --listen or listen.address)", err)
	}
	return lis.Close()
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
