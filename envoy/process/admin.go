package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/wiring"
)

// admin is a client of its own, so that a proxy in the environment is not asked for loopback.
var admin = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

const (
	readyPoll = 20 * time.Millisecond
	maxAnswer = 64 << 20 // bytes of an admin answer; a configuration dump is the largest
)

// errNotYet is the state before Envoy has opened its admin port.
var errNotYet = errors.New("envoy has not opened its admin port")

// Admin is the base URL of Envoy's admin port, an error before Envoy has opened it.
func (p *Process) Admin() (string, error) {
	b, err := os.ReadFile(filepath.Join(p.Dir, adminFile))
	if err != nil || len(b) == 0 {
		return "", errNotYet
	}
	return "http://" + strings.TrimSpace(string(b)), nil
}

// WaitReady returns when Envoy serves: its configuration has come from Dragoman and its listener accepts clients. It fails with
// Envoy's own reason when Envoy ends, and with what is lacking when ctx does.
func (p *Process) WaitReady(ctx context.Context) error {
	return p.poll(ctx, "ready", func() error {
		if _, err := p.get(ctx, "/ready"); err != nil {
			return err
		}
		_, err := p.Listener(ctx)
		return err
	})
}

// WaitWarm returns when no cluster waits for a name or a secret any longer. Right after Envoy has applied new resources, new
// clusters are known but may not serve yet.
func (p *Process) WaitWarm(ctx context.Context) error {
	return p.poll(ctx, "warm", func() error {
		n, err := p.gauge(ctx, "cluster_manager.warming_clusters")
		if err == nil && n > 0 {
			err = fmt.Errorf("%d clusters are not warm", n)
		}
		return err
	})
}

func (p *Process) poll(ctx context.Context, what string, try func() error) error {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	lacking := errNotYet
	for {
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			lacking = err // and not that there was no time left to ask
		}
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			return fmt.Errorf("envoy is not %s: %w (%w)", what, lacking, ctx.Err())
		case <-ticker.C:
		}
	}
}

// Listener is the address that clients connect to, as bound: host:port.
func (p *Process) Listener(ctx context.Context) (string, error) {
	b, err := p.get(ctx, "/listeners?format=json")
	if err != nil {
		return "", err
	}
	var list struct {
		Statuses []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Host string `json:"address"`
					Port uint16 `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return "", fmt.Errorf("envoy's list of listeners: %w", err)
	}
	for _, l := range list.Statuses {
		if l.Name == wiring.Listener {
			return net.JoinHostPort(l.Address.Socket.Host, strconv.Itoa(int(l.Address.Socket.Port))), nil
		}
	}
	return "", errors.New("envoy has no listener for clients yet")
}

// Active is the number of clients' requests under way.
func (p *Process) Active(ctx context.Context) (int, error) {
	return p.gauge(ctx, "http."+wiring.StatPrefix+".downstream_rq_active")
}

// gauge reads one number; Envoy shows none that was never set, which is 0.
func (p *Process) gauge(ctx context.Context, name string) (int, error) {
	b, err := p.get(ctx, "/stats?filter=^"+strings.ReplaceAll(name, ".", `\.`)+"$")
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(text, name+": "))
	if err != nil {
		return 0, fmt.Errorf("envoy's %s: %q is no number", name, clip(text, 100))
	}
	return n, nil
}

// ConfigDump is what Envoy runs with, as JSON; Envoy redacts its secrets. For the record of a failed run.
func (p *Process) ConfigDump(ctx context.Context) ([]byte, error) { return p.get(ctx, "/config_dump") }

func (p *Process) get(ctx context.Context, path string) ([]byte, error) {
	return p.ask(ctx, http.MethodGet, path)
}

func (p *Process) post(ctx context.Context, path string) error {
	_, err := p.ask(ctx, http.MethodPost, path)
	return err
}

func (p *Process) ask(ctx context.Context, method, path string) ([]byte, error) {
	base, err := p.Admin()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := admin.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("envoy's admin answers %s with %s: %s", path, resp.Status, clip(strings.TrimSpace(string(b)), 200))
	}
	return b, err
}
