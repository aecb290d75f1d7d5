package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/test/redisserver"
)

// healthPair is two replicas at one Redis.
func healthPair(t *testing.T, addr string) (a, b *Health) {
	t.Helper()
	return NewHealth(openClient(t, addr), "a", time.Now), NewHealth(openClient(t, addr), "b", time.Now)
}

func exchanged(t *testing.T, h *Health, tell ...health.Note) map[string]health.Note {
	t.Helper()
	var all []health.Note
	if err := again(func() (err error) { all, err = h.Exchange(t.Context(), tell); return err }); err != nil {
		t.Fatal(err)
	}
	found := map[string]health.Note{}
	for _, n := range all {
		found[string(n.Cluster)+"|"+n.Model] = n
	}
	return found
}

func TestHealthNotes(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := redisserver.Start(t)
	t.Run("notes", func(t *testing.T) {
		a, b := healthPair(t, server.Addr)
		now := time.Now()
		note := func(model string, at time.Duration, state health.State) health.Note {
			return health.Note{Cluster: "openai/a", Model: model, Key: "12345678", State: state, Until: now.Add(time.Minute).UnixMilli(), At: now.Add(at).UnixMilli(), Strikes: 3}
		}
		if n := exchanged(t, a); len(n) != 0 {
			t.Fatalf("begins with %v", n)
		}
		open := note("", 0, health.Open)
		exchanged(t, a, open, note("gpt", 0, health.Limited))
		got := exchanged(t, b)
		if len(got) != 2 || got["openai/a|"] != open {
			t.Errorf("the other replica reads %v", got)
		}
		exchanged(t, b, note("", -time.Second, health.Healthy)) // found out before
		if got := exchanged(t, a)["openai/a|"]; got.State != health.Open {
			t.Errorf("older news replaced it: %+v", got)
		}
		exchanged(t, b, note("", time.Second, health.Healthy))
		if got := exchanged(t, a)["openai/a|"]; got.State != health.Healthy {
			t.Errorf("newer news did not: %+v", got)
		}
		a.now = func() time.Time { return now.Add(healthKept + 2*time.Second) }
		if got := exchanged(t, a); len(got) != 0 {
			t.Errorf("still there when nobody needs it: %v", got)
		}
	})
	server.Stop()
}

func TestHealthNotesAreBounded_and_foreign_values_are_dropped(t *testing.T) {
	server := redisserver.Start(t)
	a, _ := healthPair(t, server.Addr)
	until := time.Now().Add(time.Minute).UnixMilli()
	for batch := range 5 {
		var notes []health.Note
		for i := range 1000 {
			notes = append(notes, health.Note{Cluster: "c", Model: fmt.Sprint(batch, "-", i), State: health.Limited, Until: until, At: time.Now().UnixMilli()})
		}
		if _, err := a.Exchange(context.Background(), notes); err != nil {
			t.Log(err) // slow: what counts is what is there
		}
	}
	key := a.c.Key("health", "notes")
	if n := a.c.db.HLen(t.Context(), key).Val(); n > healthMost || n < 1000 {
		t.Errorf("%d notes are kept", n)
	}
	if ttl := a.c.db.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > healthKept {
		t.Errorf("they live for %v", ttl)
	}
	a.c.db.Del(t.Context(), key)
	a.c.db.HSet(t.Context(), key, "x", "no JSON", "y", `"text"`, "z", "[1]")
	if got := exchanged(t, a); len(got) != 0 {
		t.Errorf("read %v", got)
	}
	if n := a.c.db.HLen(t.Context(), key).Val(); n != 0 {
		t.Errorf("%d foreign values stay", n)
	}
}

func TestHealthLease(t *testing.T) {
	server := redisserver.Start(t)
	a, b := healthPair(t, server.Addr)
	take := func(h *Health, cluster config.ClusterName, ttl time.Duration) (ok bool) {
		t.Helper()
		if err := again(func() (err error) { ok, err = h.Lease(t.Context(), cluster, ttl); return err }); err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !take(a, "x", time.Minute) || take(b, "x", time.Minute) || !take(a, "x", time.Minute) || !take(b, "y", time.Minute) {
		t.Error("a lease is not one replica's")
	}
	if err := again(func() error { return b.Release(t.Context(), "x") }); err != nil || take(b, "x", time.Minute) {
		t.Errorf("another's lease was given back (%v)", err)
	}
	if err := again(func() error { return a.Release(t.Context(), "x") }); err != nil || !take(b, "x", 50*time.Millisecond) {
		t.Errorf("one's own was not (%v)", err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for !take(a, "x", time.Minute) {
		if time.Now().After(deadline) {
			t.Fatal("a lease does not end by itself")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestHealthWithRedisAway(t *testing.T) {
	server := redisserver.Start(t)
	a, _ := healthPair(t, server.Addr)
	exchanged(t, a)
	server.Stop()
	begin := time.Now()
	for range 5 {
		if _, err := a.Exchange(t.Context(), nil); err == nil {
			t.Fatal("an answer of a server that is gone")
		}
		if ok, err := a.Lease(t.Context(), "x", time.Second); ok || err == nil {
			t.Fatal("a lease of a server that is gone")
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}
