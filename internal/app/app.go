// Package app is the wiring: it makes the whole program from its parts, and is the only package that imports them all. A
// test starts it as a value, with free ports and a folder of its own.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"dragoman/envoy/process"
	"dragoman/internal/config"
	"dragoman/internal/credential"
	"dragoman/internal/demo"
	"dragoman/internal/fetch"
	"dragoman/internal/health"
	"dragoman/internal/observe"
	"dragoman/internal/store/redis"
	"dragoman/internal/vault"
	"dragoman/internal/webhook"
	"dragoman/processor"
	"dragoman/processor/cache"
	"dragoman/processor/limit"
	dragomanv1 "dragoman/proto/dragoman/v1"
	"dragoman/xds/server"
)

// Version of the program, set by the build.
var Version = "dev"

// Options say how the program is started. The zero value serves Dragoman alone, configured by the environment.
type Options struct {
	ConfigFile  string // "": discovery
	Listen      string // overrides listen.address
	Admin       string // overrides admin.address
	Processor   string // overrides processor.address
	LogLevel    string // overrides log.level
	Remote      Remote // a running gateway that a command asks instead of the configuration's database
	Envoy       bool   // supervise an Envoy
	EnvoyBinary string // overrides envoy.binary
	RunDir      string // of the supervised Envoy; "": a private temporary folder
	Drain       time.Duration
	LookupEnv   func(string) (string, bool)
	Stdout      io.Writer // what a person asked for
	Stderr      io.Writer // logs
}

// App is one running program.
type App struct {
	o        Options
	log      *slog.Logger
	level    *slog.LevelVar
	store    *config.Store
	demo     *demo.Server
	tracker  *health.Tracker
	metrics  *observe.Metrics
	proc     *processor.Server
	book     *book // nil without a ledger
	keys     keys
	admin    adminPort
	seeded   seeded // of keepBook alone
	limits   limits // of setStores alone, but for its gate
	hook     atomic.Pointer[webhook.Sender]
	redis    *redis.Client // nil without store.redis; of setStores alone
	cache    atomic.Pointer[cacheHolder]
	turns    atomic.Pointer[turnsHolder]
	semantic atomic.Pointer[semanticTier]
	ownKey   string // by which the gateway's own requests are known
	fetcher  atomic.Pointer[fetch.Fetcher]
	xds      *server.Server
	grpc     *grpc.Server
	runDir   string
	ownDir   bool

	vault           *vault.Keeper      // of secrets that the configuration has there
	tokens          *credential.Keeper // of providers that want them
	stopCredentials func()

	built    built      // only the push loop, and Run before it, touch it
	mu       sync.Mutex // guards previous
	previous []retired
	envoy    *process.Process
	stopping atomic.Bool
	keepDir  atomic.Bool   // the run folder holds what explains a failure
	changed  chan struct{} // asks for the resources to be built and pushed again
	// serving is the configuration that new requests go by: the store's newest, once Envoy has applied it.
	serving atomic.Pointer[config.Snapshot]

	// refused is why Envoy does not take the store's newest configuration, "" when it has.
	refused atomic.Pointer[string]

	// Addresses in use, known once Run has called ready.
	adminAddr     net.Addr
	processorAddr string
	gatewayAddr   string // of the supervised Envoy's listener, as bound
	readyOnce     sync.Once
	ready         chan struct{}
}

// cacheHolder lets an interface be swapped atomically.
type cacheHolder struct{ backend cache.Backend }

// New reads the configuration and makes the program's parts. Nothing listens yet. The error says everything that is wrong
// with the configuration.
func New(o Options) (*App, error) {
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	a := &App{o: o, ready: make(chan struct{}), changed: make(chan struct{}, 1), metrics: observe.NewMetrics(), ownKey: "dragoman-" + newID() + newID()}
	if err := a.makeRunDir(); err != nil {
		return nil, err
	}
	options := a.configOptions()
	options.Fetch = fetchModels
	store, err := config.Open(options)
	if err != nil {
		a.closeVault()
		a.closeDemo()
		a.removeRunDir()
		return nil, err
	}
	a.store = store
	snap := store.Current()
	a.serving.Store(snap)
	a.log, a.level = observe.NewLogger(o.Stderr, snap.Config.GetLog().GetLevel(), snap.Config.GetLog().GetFormat())
	a.startCredentials()
	a.tracker = health.New(snap.Health, time.Now)
	a.tracker.SetClusters(snap.Clusters)
	a.limits.memory = limit.NewMemory()
	a.limits.gate = limit.NewGate(limit.Options{Store: a.limits.memory})
	a.setStores(nil, snap)
	a.setFetcher(snap)
	if err := a.openBook(snap); err != nil {
		a.abandon()
		return nil, err
	}
	if err := errors.Join(a.checkAdmin(snap), a.openKeys(snap)); err != nil {
		a.dropBook()
		a.abandon()
		return nil, err
	}
	a.proc = a.newProcessor()
	return a, nil
}

// abandon lets go of what New has made so far.
func (a *App) abandon() {
	a.swapFetcher(nil)
	a.stopCredentials()
	a.closeStores()
	a.closeVault()
	a.closeDemo()
	a.removeRunDir()
}

// configOptions are how this program reads its configuration: flags win over the file.
func (a *App) configOptions() config.Options {
	if a.vault == nil {
		a.vault = a.newVault()
	}
	return config.Options{
		Path: a.o.ConfigFile, Env: a.o.LookupEnv, Demo: a.startDemo,
		Override: a.override, Vault: a.vault.Read,
	}
}

// override is what flags say, and where `run` listens for its own Envoy: a socket in its private folder, which nobody else can
// reach.
func (a *App) override(c *dragomanv1.Config) {
	o := a.o
	if o.Processor == "" && a.runDir != "" && c.GetProcessor().GetAddress() == "" {
		o.Processor = "unix://" + filepath.Join(a.runDir, "dragoman.sock")
	}
	if o.Listen != "" {
		if c.Listen == nil {
			c.Listen = &dragomanv1.Listen{}
		}
		c.Listen.Address = o.Listen
	}
	if o.Admin != "" {
		if c.Admin == nil {
			c.Admin = &dragomanv1.Admin{}
		}
		c.Admin.Address = o.Admin
	}
	if o.Processor != "" {
		c.Processor = &dragomanv1.Processor{Address: o.Processor}
	}
	if o.LogLevel != "" {
		if c.Log == nil {
			c.Log = &dragomanv1.Log{}
		}
		c.Log.Level = o.LogLevel
	}
}

// startDemo starts the demo providers when no other was found; a reload finds them running.
func (a *App) startDemo() (config.DemoEndpoints, error) {
	if a.demo == nil {
		s, err := demo.Start()
		if err != nil {
			return config.DemoEndpoints{}, err
		}
		a.demo = s
	}
	return config.DemoEndpoints{OpenAI: a.demo.OpenAI, Anthropic: a.demo.Anthropic}, nil
}

func (a *App) closeDemo() {
	if a.demo != nil {
		a.demo.Close()
	}
}

// Run serves until ctx ends or a part fails, and then lets requests in flight finish. A supervised Envoy's death is an
// error that says why.
func (a *App) Run(ctx context.Context) error {
	defer a.closeDemo()
	defer a.closeVault()
	defer a.closeStores()
	defer a.closeBook()
	defer a.stopCredentials()
	defer a.swapFetcher(nil)
	defer a.removeRunDir()
	grpcLis, err := a.listenProcessor()
	if err != nil {
		return err
	}
	adminLis, err := net.Listen("tcp", a.store.Current().Config.GetAdmin().GetAddress())
	if err != nil {
		grpcLis.Close()
		return fmt.Errorf("the admin port cannot be opened: %w (choose another with --admin or admin.address)", err)
	}
	a.adminAddr, a.processorAddr = adminLis.Addr(), addressOf(grpcLis.Addr())
	a.newAdmin(adminLis)

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, 4)
	a.grpc = a.newGRPC()
	// Before anybody can ask: an Envoy that comes back says at once what it has, and must find out whether that is right.
	if err := a.set(a.serving.Load(), nil); err != nil {
		grpcLis.Close()
		adminLis.Close()
		return err
	}
	go func() { failed <- wrap("the processor's port", a.grpc.Serve(grpcLis)) }()
	go func() { failed <- wrap("the admin port", a.serveAdmin(adminLis)) }()
	defer a.admin.server.Close()
	defer a.grpc.Stop()
	a.startBackground(background)

	if a.o.Envoy {
		if err := a.startEnvoy(ctx, grpcLis.Addr(), failed); err != nil {
			return err
		}
	}
	a.announce()
	a.readyOnce.Do(func() { close(a.ready) })
	select {
	case <-ctx.Done():
		return a.shutdown()
	case err := <-failed:
		a.stopEnvoy(0)
		return err
	}
}

// startBackground starts what works beside the requests, each until ctx ends.
func (a *App) startBackground(ctx context.Context) {
	cancel := a.store.Subscribe(a.apply)
	context.AfterFunc(ctx, cancel)
	go func() { _ = a.store.Watch(ctx) }()
	go a.tracker.Run(ctx)
	go a.pushLoop(ctx)
	go a.proc.RunChecks(ctx)
	go a.watchStatus(ctx)
	go a.keepBook(ctx)
	go a.keepVault(ctx)
	go a.keepSessions(ctx)
	a.runKeys(ctx)
}

// Ready is closed when the gateway serves.
func (a *App) Ready() <-chan struct{} { return a.ready }

// AdminAddr is the admin port's address once Ready.
func (a *App) AdminAddr() string { return a.adminAddr.String() }

// Reload reads the configuration again. A faulty one changes nothing and is the error.
func (a *App) Reload() error {
	err := a.store.Reload(context.Background())
	if err != nil {
		a.log.Error("the configuration was not reloaded; the last good one stays in force", "error", err)
	}
	return err
}

// shutdown lets requests in flight finish, for as long as they were given.
func (a *App) shutdown() error {
	a.stopping.Store(true)
	a.log.Info("shutting down", "in_flight", a.proc.InFlight(), "drain", a.o.Drain.String())
	if a.o.Envoy {
		a.stopEnvoy(a.o.Drain)
		return nil
	}
	// An Envoy of the user's own drains by itself; its streams end when its requests do.
	deadline := time.Now().Add(a.o.Drain)
	for a.proc.InFlight() > 0 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

func wrap(what string, err error) error {
	if err == nil {
		return errors.New(what + " closed unexpectedly")
	}
	return fmt.Errorf("%s: %w", what, err)
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
