package redis

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/store/storetest"
	"dragoman/processor/turns"
	"dragoman/test/redisserver"
)

func openTurns(t testing.TB, client *Client, ttl turns.TTL) *Turns {
	t.Helper()
	s, err := NewTurns(client, ttl, storetest.TurnsBytes)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTurnsPassTheSuite(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := redisserver.Start(t)
	t.Run("suite", func(t *testing.T) {
		storetest.Turns(t, func(t *testing.T, ttl turns.TTL) (turns.Store, func(time.Duration)) {
			client := openClient(t, server.Addr)
			if err := client.db.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			return patientTurns{openTurns(t, client, ttl)}, time.Sleep
		})
	})
	server.Stop()
}

// patientTurns asks again when a call took longer than its deadline: the suite is about what is kept, and the machine may be
// busy.
type patientTurns struct{ *Turns }

func (p patientTurns) Get(ctx context.Context, keys ...turns.Key) (values [][]byte, err error) {
	err = again(func() error { values, err = p.Turns.Get(ctx, keys...); return err })
	return values, err
}

func (p patientTurns) Put(ctx context.Context, entries ...turns.Entry) error {
	return again(func() error { return p.Turns.Put(ctx, entries...) })
}

func again(f func() error) (err error) {
	for range 20 {
		if err = f(); err == nil || errors.Is(err, turns.ErrTooLarge) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func TestTurnsAreCompressed_and_foreign_values_are_absent(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	s := openTurns(t, client, turns.TTL{})
	k := turns.Key{Tenant: "acme", Kind: turns.Response, ID: "resp_1"}
	value := bytes.Repeat([]byte("the same again "), 10_000)
	if err := again(func() error { return s.Put(t.Context(), turns.Entry{Key: k, Value: value}) }); err != nil {
		t.Fatal(err)
	}
	size, err := client.db.StrLen(t.Context(), s.key(k)).Result()
	if err != nil || size > int64(len(value)/20) {
		t.Errorf("%d bytes of %d: %v", size, len(value), err)
	}
	if ttl, err := client.db.TTL(t.Context(), s.key(k)).Result(); err != nil || ttl < 23*time.Hour {
		t.Errorf("it lives for %s: %v", ttl, err)
	}
	for _, foreign := range []string{"", "plain", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", "\x05garbage"} {
		if err := client.db.Set(t.Context(), s.key(k), foreign, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), k); err != nil || got[0] != nil {
			t.Errorf("%q: got %q, %v", foreign, got[0], err)
		}
	}
}

func TestTurnsOfAServerThatIsAway(t *testing.T) {
	client := openClient(t, redisserver.Start(t).Addr)
	s := openTurns(t, client, turns.TTL{})
	client.away.Store(true)
	_, err := turns.Load(t.Context(), s, "acme", "resp_1")
	var f *fault.Fault
	if !errors.As(err, &f) || f.Kind != fault.Unavailable {
		t.Errorf("got %v: a conversation must not go on without its beginning", err)
	}
	if err := s.Put(t.Context(), turns.Entry{}); !errors.Is(err, ErrAway) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Delete(t.Context(), turns.Key{}); !errors.Is(err, ErrAway) {
		t.Errorf("got %v", err)
	}
}

func TestTurnsDeadline(t *testing.T) {
	client := Open(&config.Redis{Addresses: []string{silent(t)}, Connections: 2}, Options{})
	defer client.Close()
	s := openTurns(t, client, turns.TTL{})
	begin := time.Now()
	if _, err := s.Get(t.Context(), turns.Key{}); err == nil || errors.Is(err, goredis.Nil) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a silent server costs %s", took)
	}
}
