package redis

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"dragoman/internal/config"
	"dragoman/internal/store/storetest"
	"dragoman/test/redisserver"
)

func ping(c *Client) error {
	return c.Do(context.Background(), "ping", lookupDeadline, func(ctx context.Context, db goredis.UniversalClient) error { return db.Ping(ctx).Err() })
}

// silent is a listener whose connections are taken and never answered.
func silent(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestServerThatIsAwayCostsNothing: after a few calls nobody waits for it, whether it refuses or is silent.
func TestServerThatIsAwayCostsNothing(t *testing.T) {
	// The library's own look at a server that refused it ends within a second of Close.
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
	for name, addr := range map[string]string{"silent": silent(t), "refusing": "127.0.0.1:1"} {
		c := Open(&config.Redis{Addresses: []string{addr}, Connections: 4}, Options{})
		begin := time.Now()
		for range patience {
			if ping(c) == nil {
				t.Errorf("%s: it answers", name)
			}
		}
		if took := time.Since(begin); took > 500*time.Millisecond {
			t.Errorf("%s: %d calls took %s", name, patience, took)
		}
		waitFor(t, func() bool { return !c.Available() }, name+": it counts as available")
		begin = time.Now()
		for range 10_000 {
			if err := ping(c); !errors.Is(err, ErrAway) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if took := time.Since(begin); took > 200*time.Millisecond {
			t.Errorf("%s: 10,000 calls took %s", name, took)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestServerComesBack after a freeze and after a crash, without anybody's help.
func TestServerComesBack(t *testing.T) {
	server := redisserver.Start(t)
	var away, back atomic.Int32
	c := Open(&config.Redis{Addresses: []string{server.Addr}, Connections: 4}, Options{Changed: func(err error) {
		if err != nil {
			away.Add(1)
		} else {
			back.Add(1)
		}
	}})
	defer c.Close()
	waitFor(t, func() bool { return ping(c) == nil }, "it does not answer")
	for i, outage := range []struct{ begin, end func() error }{
		{server.Freeze, server.Thaw},
		{func() error { server.Stop(); return nil }, server.Restart},
	} {
		if err := outage.begin(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return errors.Is(ping(c), ErrAway) }, "it is still asked")
		if err := outage.end(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return ping(c) == nil }, "it is not found again")
		waitFor(t, func() bool { return away.Load() == int32(i+1) && back.Load() == int32(i+1) }, "nobody is told")
	}
}

func TestWhatCountsAsAFailure(t *testing.T) {
	server := redisserver.Start(t)
	var failed, calls atomic.Int32
	c := Open(&config.Redis{Addresses: []string{server.Addr}, Connections: 4}, Options{Observe: func(op string, _ time.Duration, bad bool) {
		if op != "x" {
			t.Errorf("op %q", op)
		}
		calls.Add(1)
		if bad {
			failed.Add(1)
		}
	}})
	defer c.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, f := range []func() error{
		func() error {
			return c.Do(t.Context(), "x", time.Second, func(ctx context.Context, db goredis.UniversalClient) error { return db.Get(ctx, "absent").Err() })
		},
		func() error {
			return c.Do(t.Context(), "x", time.Second, func(ctx context.Context, db goredis.UniversalClient) error {
				return db.Do(ctx, "NOSUCHCOMMAND").Err()
			})
		},
		func() error {
			return c.Do(gone, "x", time.Second, func(ctx context.Context, db goredis.UniversalClient) error { return db.Ping(ctx).Err() })
		},
	} {
		for range 2 * patience {
			if f() == nil {
				t.Error("no error")
			}
		}
	}
	if failed.Load() != 0 || !c.Available() || calls.Load() != 4*patience {
		t.Errorf("%d of %d calls count as failures; available %v", failed.Load(), calls.Load(), c.Available())
	}
}

func TestPassword(t *testing.T) {
	server := redisserver.Start(t, "--requirepass", "sesame42")
	good := Open(&config.Redis{Addresses: []string{server.Addr}, Password: config.NewSecret("sesame42", "env X"), Connections: 4}, Options{})
	defer good.Close()
	waitFor(t, func() bool { return ping(good) == nil }, "the right password is refused")
	var reason atomic.Value
	bad := Open(&config.Redis{Addresses: []string{server.Addr}, Password: config.NewSecret("wrong99", "env X"), Connections: 4}, Options{Changed: func(err error) { reason.Store(err) }})
	defer bad.Close()
	waitFor(t, func() bool { return !bad.Available() && reason.Load() != nil }, "a wrong password is taken for a server that serves")
	if _, ok := openCache(t, bad, settings(), "a").Get(t.Context(), storetest.CacheKey(1)); ok {
		t.Error("found without a password")
	}
}

func BenchmarkAway(b *testing.B) {
	c := Open(&config.Redis{Addresses: []string{"127.0.0.1:1"}, Connections: 4}, Options{})
	defer c.Close()
	waitFor(b, func() bool { return !c.Available() }, "it is there")
	b.ReportAllocs()
	for b.Loop() {
		_ = ping(c)
	}
}
