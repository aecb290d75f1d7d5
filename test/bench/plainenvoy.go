package main

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"dragoman/envoy/process"
)

//go:embed plainenvoy.yaml
var plainEnvoyYAML string

// failoverHeader sends a request to the plain Envoy's failover cluster.
const failoverHeader = "x-bench-failover"

func plainEnvoyConfig(a providerAddresses) ([]byte, error) {
	upHost, upPort, err := net.SplitHostPort(a.Up)
	if err != nil {
		return nil, err
	}
	downHost, downPort, err := net.SplitHostPort(a.Down)
	if err != nil {
		return nil, err
	}
	return []byte(strings.NewReplacer("UP_HOST", upHost, "UP_PORT", upPort, "DOWN_HOST", downHost, "DOWN_PORT", downPort,
		"FAILOVER_HEADER", failoverHeader).Replace(plainEnvoyYAML)), nil
}

// startPlainEnvoy starts the Envoy that everything is compared with; address is its listener's.
func startPlainEnvoy(ctx context.Context, dir, binary string, concurrency uint, a providerAddresses) (p *process.Process, address string, err error) {
	config, err := plainEnvoyConfig(a)
	if err != nil {
		return nil, "", err
	}
	p, err = process.Start(ctx, process.Options{
		Binary: binary, Bootstrap: config, Dir: filepath.Join(dir, "plain"), Concurrency: uint32(concurrency),
	})
	if err != nil {
		return nil, "", err
	}
	if err = p.WaitReady(ctx); err == nil {
		address, err = p.Listener(ctx)
	}
	if err != nil {
		err = fmt.Errorf("the plain Envoy does not serve: %w\n%s", err, p.Tail())
		p.Stop(ctx, 0)
		return nil, "", err
	}
	return p, address, nil
}
