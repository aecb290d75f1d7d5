package app

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// loopback sends the gateway's own requests through Envoy's loopback listener, wherever the configuration in force has it.
func (a *App) loopback() http.RoundTripper {
	dialer := net.Dialer{Timeout: time.Second}
	return &http.Transport{
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			at := a.serving.Load().Loopback
			if path, ok := strings.CutPrefix(at, "unix://"); ok {
				return dialer.DialContext(ctx, "unix", path)
			}
			return dialer.DialContext(ctx, "tcp", at)
		},
	}
}
