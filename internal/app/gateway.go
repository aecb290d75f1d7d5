package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	als "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"dragoman/internal/config"
	"dragoman/processor"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
	"dragoman/processor/turns"
	"dragoman/xds/server"
)

// newProcessor makes the ext_proc service from its steps.
func (a *App) newProcessor() *processor.Server {
	return processor.New(processor.Options{
		Config: a.serving.Load, Health: a.tracker, Counters: a.limits.gate,
		Cache:  func() cache.Backend { return a.cache.Load().backend },
		Ledger: a.accounts(), Metrics: a.metrics, Log: a.log, Fetch: a.fetcher.Load,
		Keys: a.keyStore(), First: a.newcomer, OwnKey: a.ownKey, Semantic: func() *semantic.Tier { return a.semantic.Load().tier },
		Turns: func() turns.Store { return a.turns.Load().store },
		Now:   time.Now, Random: mrand.Float64, NewID: newID, Loopback: a.loopback(), Shared: a.sharedCredentials,
	})
}

// newID is unique and not to be guessed: an attempt stream finds its exchange by it.
func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// newGRPC is the one server that Envoy talks to: policy, configuration and logs.
func (a *App) newGRPC() *grpc.Server {
	limits := a.store.Current().Limits
	// A body travels in pieces, but an attempt's replacement and a cached answer are one message.
	most := min(max(limits.MaxBody, limits.MaxResponse)*2+1<<20, math.MaxInt32)
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(most), grpc.MaxSendMsgSize(most),
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(16<<20),
		// A worker's stack has grown already; a new goroutine would copy its own three times a request. When all workers hold
		// long streams, gRPC starts goroutines as before.
		grpc.NumStreamWorkers(64),
		grpc.ForceServerCodecV2(processor.NewCodec()),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	a.proc.Register(g)
	als.RegisterAccessLogServiceServer(g, &processor.AccessLog{S: a.proc})
	a.xds = server.New(server.Options{Log: a.log, Report: a.reportPush})
	a.xds.Register(g)
	return g
}

// listenProcessor opens the port or socket for Envoy.
func (a *App) listenProcessor() (net.Listener, error) {
	address := a.store.Current().Config.GetProcessor().GetAddress()
	network, at := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, at = "unix", path
		if err := removeStaleSocket(path); err != nil {
			return nil, err
		}
	}
	lis, err := net.Listen(network, at)
	if err != nil {
		return nil, fmt.Errorf("the processor's port for Envoy cannot be opened: %w (choose another with --processor or processor.address)", err)
	}
	return lis, nil
}

// removeStaleSocket removes the socket of a process that is gone, and nothing else.
func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("processor.address: %s exists and is no socket", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("processor.address: another process listens on %s", path)
	}
	return os.Remove(path)
}

// makeRunDir makes the folder of the supervised Envoy: private, because it holds the socket that Envoy's orders come from.
func (a *App) makeRunDir() error {
	if !a.o.Envoy {
		return nil
	}
	if a.o.RunDir == "" {
		dir, err := os.MkdirTemp("", "dragoman-")
		if err != nil {
			return fmt.Errorf("no private folder for Envoy: %w", err)
		}
		a.runDir, a.ownDir = dir, true
		return nil
	}
	dir, err := filepath.Abs(a.o.RunDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("no private folder for Envoy: %w", err)
	}
	a.runDir = dir
	return nil
}

func (a *App) removeRunDir() {
	if a.ownDir && !a.keepDir.Load() {
		_ = os.RemoveAll(a.runDir)
	}
}

// retired is a configuration that requests in flight may still go by.
type retired struct {
	snap  *config.Snapshot
	until time.Time
}

// reportPush counts what Envoy made of a push.
func (a *App) reportPush(e server.Event) {
	if e.Err != "" {
		a.metrics.XDSNack(e.Type)
		return
	}
	a.metrics.XDSAck(e.Type)
}

// patience is how long Envoy may take to apply a new configuration. Until it has, the last good one stays in force.
const patience = 5 * time.Second

// waitApplied waits until every connected Envoy has the last push. Without any Envoy there is nobody to wait for.
func (a *App) waitApplied(ctx context.Context) error {
	if a.xds.Status().Envoys == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := a.xds.WaitApplied(ctx); err != nil || a.envoy == nil {
		return err
	}
	// A new cluster is known before its name is resolved. One that does not get ready in time fails over like any other.
	if err := a.envoy.WaitWarm(ctx); err != nil {
		a.log.Warn("a cluster of the new configuration is not ready yet", "reason", err)
	}
	return nil
}
