// Package redis keeps in Redis what the replicas of a gateway share. Every call has a deadline of its own, and a server that
// is away costs nothing: after a few failures in a row nobody waits for it any more, until it answers again.
package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"dragoman/internal/config"
)

// ErrAway says that the server has not answered lately and was not asked.
var ErrAway = errors.New("redis is away")

const (
	// patience is how many failures in a row it takes to stop asking. A cluster that has lost one node of three fails so often in a row by
	// chance, and serves the rest: of it, more is asked for.
	patience, clusterPatience = 3, 16
	// probeEvery is how often a server that is away is asked whether it is back.
	probeEvery   = 250 * time.Millisecond
	probeTimeout = time.Second
	dialTimeout  = 2 * time.Second
	idle         = 5 // connections kept open, so that a request seldom waits for a new one
)

// Options are what a Client tells about itself. Each may be nil.
type Options struct {
	// Called after each call that was made: op is the caller's word for it.
	Observe func(op string, took time.Duration, failed bool)
	// Changed says that the server is away, with the reason, or, with nil, that it is back.
	Changed func(err error)
}

// Client is the connection to one Redis: a server, a sentinel's master or a cluster. It is safe for concurrent use.
type Client struct {
	db     goredis.UniversalClient
	prefix string
	o      Options

	patience int32
	failures atomic.Int32 // in a row
	away     atomic.Bool
	tripped  chan error // wakes the prober
	stop     context.CancelFunc
	done     sync.WaitGroup
}

// Open makes a Client. It waits for nothing: a server that is not there yet is found when it comes. The caller must Close it.
func Open(c *config.Redis, o Options) *Client {
	silence()
	ctx, stop := context.WithCancel(context.Background())
	client := &Client{db: goredis.NewUniversalClient(options(c)), prefix: c.Prefix, o: o, patience: patience, tripped: make(chan error, 1), stop: stop}
	if c.Cluster {
		client.patience = clusterPatience
	}
	client.done.Go(func() { client.watch(ctx) })
	return client
}

// silence keeps the library from writing to standard error; what goes wrong is said by Options.
var silence = sync.OnceFunc(func() { goredis.SetLogger(quiet{}) })

type quiet struct{}

// Printf does nothing.
func (quiet) Printf(context.Context, string, ...any) {}

func options(c *config.Redis) *goredis.UniversalOptions {
	o := &goredis.UniversalOptions{
		Addrs: c.Addresses, MasterName: c.Master, IsClusterMode: c.Cluster, DB: c.Database,
		Username: c.Username, Password: c.Password.Reveal(),
		ContextTimeoutEnabled: true, // each call brings its deadline
		MaxRetries:            -1,   // a deadline of milliseconds has no room for another try
		DialerRetries:         1,
		DialTimeout:           dialTimeout, ReadTimeout: probeTimeout, WriteTimeout: probeTimeout, PoolTimeout: probeTimeout,
		PoolSize: c.Connections, MaxActiveConns: c.Connections, MinIdleConns: min(idle, c.Connections),
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if c.TLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
		if c.CA != nil {
			o.TLSConfig.RootCAs = x509.NewCertPool()
			o.TLSConfig.RootCAs.AppendCertsFromPEM(c.CA) // the configuration has read it once
		}
	}
	return o
}

// Key names a key. Parts in {} decide about the slot of a cluster.
func (c *Client) Key(parts ...string) string { return c.prefix + strings.Join(parts, ":") }

// Do calls f with the deadline. op names the call in metrics. The error is f's, or ErrAway. A server's answer that is an
// error, or that there is no such key, speaks for the server's health.
func (c *Client) Do(ctx context.Context, op string, deadline time.Duration, f func(ctx context.Context, db goredis.UniversalClient) error) error {
	if c.away.Load() {
		return ErrAway
	}
	begin := time.Now()
	limited, cancel := context.WithTimeout(ctx, deadline)
	err := f(limited, c.db)
	cancel()
	failed := isFailure(err)
	if failed && ctx.Err() != nil {
		return err // the caller is gone, which says nothing of the server
	}
	if c.o.Observe != nil {
		c.o.Observe(op, time.Since(begin), failed)
	}
	if !failed {
		if c.failures.Load() != 0 {
			c.failures.Store(0)
		}
		return err
	}
	if c.failures.Add(1) >= c.patience {
		c.trip(err)
	}
	return err
}

// Available says whether calls are made.
func (c *Client) Available() bool { return !c.away.Load() }

// Close ends all connections. Calls after it fail.
func (c *Client) Close() error {
	c.away.Store(true)
	c.stop()
	c.done.Wait()
	return c.db.Close()
}

// refusals are answers of a server that cannot serve: as good as none.
var refusals = []string{"LOADING ", "MASTERDOWN ", "CLUSTERDOWN ", "READONLY ", "NOAUTH ", "WRONGPASS ", "NOPERM ", "MISCONF ", "TRYAGAIN "}

func isFailure(err error) bool {
	if err == nil || errors.Is(err, goredis.Nil) {
		return false
	}
	var answer goredis.Error
	if !errors.As(err, &answer) {
		return true
	}
	for _, r := range refusals {
		if goredis.HasErrorPrefix(err, r) {
			return true
		}
	}
	return false
}

func (c *Client) trip(err error) {
	if c.away.Swap(true) {
		return
	}
	select {
	case c.tripped <- err:
	default: // the prober is at work already
	}
}

// watch asks a server that is away whether it is back, so that no request has to. It begins with the question whether it is
// there at all.
func (c *Client) watch(ctx context.Context) {
	if err := c.ping(ctx); err != nil {
		c.trip(err)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-c.tripped:
			c.say(err)
		}
		if !c.await(ctx) {
			return
		}
		c.failures.Store(0)
		c.away.Store(false)
		c.say(nil)
	}
}

func (c *Client) say(err error) {
	if c.o.Changed != nil {
		c.o.Changed(err)
	}
}

// await returns when the server answers; false when ctx ends first.
func (c *Client) await(ctx context.Context) bool {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if c.ping(ctx) == nil {
			return true
		}
	}
}

func (c *Client) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return c.db.Ping(ctx).Err()
}
