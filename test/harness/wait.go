package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"dragoman/envoy/bootstrap"
	"dragoman/envoy/process"
)

const poll = 20 * time.Millisecond

// until tries until it succeeds, ctx ends, or Dragoman or Envoy has died.
func (g *Gateway) until(ctx context.Context, what string, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		if dead := g.dead(); dead != nil {
			return fmt.Errorf("%s: %w", what, dead)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (%w)", what, err, ctx.Err())
		case <-time.After(poll):
		}
	}
}

// dead says that a part has ended although nobody stopped it.
func (g *Gateway) dead() error {
	g.mu.Lock()
	d := g.dragoman
	g.mu.Unlock()
	if d != nil {
		select {
		case <-d.done():
			return fmt.Errorf("this Dragoman has ended: %w", d.err())
		default:
		}
	}
	if g.envoy != nil {
		select {
		case <-g.envoy.Done():
			return g.envoy.Err()
		default:
		}
	}
	return nil
}

// get reads from Dragoman's admin port.
func (g *Gateway) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.Admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := g.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return body, err
}

// Metrics is the text of Dragoman's /metrics.
func (g *Gateway) Metrics(ctx context.Context) (string, error) {
	b, err := g.get(ctx, "/metrics")
	return string(b), err
}

// Status is the JSON of Dragoman's /status.
func (g *Gateway) Status(ctx context.Context) ([]byte, error) { return g.get(ctx, "/status") }

// WaitReady returns when Dragoman says that it is ready.
func (g *Gateway) WaitReady(ctx context.Context) error {
	return g.until(ctx, "Dragoman is not ready", func() error {
		_, err := g.get(ctx, "/readyz")
		return err
	})
}

// waitApplied returns when requests go by the configuration that was read last.
func (g *Gateway) waitApplied(ctx context.Context) error {
	return g.until(ctx, "the configuration is not applied", func() error {
		s, err := g.configStatus(ctx)
		if err == nil && s.Version != s.Newest {
			err = fmt.Errorf("in force %s, newest %s", s.Version, s.Newest)
		}
		return err
	})
}

// configStatus is what /status says of the configuration.
type configStatus struct {
	Version, Newest string
	Loads, Failures uint64
	LastError       string `json:"last_error"`
}

func (g *Gateway) configStatus(ctx context.Context) (configStatus, error) {
	var s struct{ Config configStatus }
	b, err := g.Status(ctx)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s.Config, err
}

// waitServing returns when Envoy serves clients by Dragoman's configuration, and sets URL.
func (g *Gateway) waitServing(ctx context.Context) error {
	if err := g.envoy.WaitReady(ctx); err != nil {
		return err
	}
	if err := g.WaitReady(ctx); err != nil {
		return err
	}
	if err := g.envoy.WaitWarm(ctx); err != nil {
		return err
	}
	at, err := g.envoy.Listener(ctx)
	if err != nil {
		return err
	}
	g.URL = "http://" + at
	return nil
}

// startEnvoy starts Envoy towards Dragoman's socket.
func (g *Gateway) startEnvoy(ctx context.Context) error {
	binary, err := process.Find("")
	if err != nil {
		return err
	}
	text, err := bootstrap.Render(bootstrap.Params{Processor: "unix://" + g.socket()})
	if err != nil {
		return err
	}
	g.envoy, err = process.Start(ctx, process.Options{
		Binary: binary, Bootstrap: text, Dir: filepath.Join(g.Dir, "envoy"), Concurrency: envoyWorkers,
	})
	return err
}

// socket is where Dragoman listens for Envoy.
func (g *Gateway) socket() string { return filepath.Join(g.Dir, "dragoman.sock") }

// StopEnvoy ends Envoy, cutting what is under way. It does nothing when none runs.
func (g *Gateway) StopEnvoy() {
	if g.envoy != nil {
		g.envoy.Stop(context.Background(), 0)
		g.envoy = nil
	}
}

// RestartEnvoy starts another Envoy after StopEnvoy or KillEnvoy. URL changes.
func (g *Gateway) RestartEnvoy(ctx context.Context) error {
	g.StopEnvoy()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := g.startEnvoy(ctx); err != nil {
		return err
	}
	return g.waitServing(ctx)
}

// EnvoyPID is Envoy's process id, 0 when none runs.
func (g *Gateway) EnvoyPID() int {
	if g.envoy == nil {
		return 0
	}
	return g.envoy.PID()
}

// EnvoyAdmin is the base URL of Envoy's own admin port.
func (g *Gateway) EnvoyAdmin() (string, error) {
	if g.envoy == nil {
		return "", errors.New("no Envoy runs")
	}
	return g.envoy.Admin()
}
