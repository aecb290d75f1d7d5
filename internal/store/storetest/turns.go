package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"dragoman/processor/turns"
)

// TurnsBytes is the bound of an entry that OpenTurns sets.
const TurnsBytes = 1 << 20

// OpenTurns makes an empty store for one test that keeps no entry of more than TurnsBytes. pass lets time pass.
type OpenTurns func(t *testing.T, ttl turns.TTL) (s turns.Store, pass func(time.Duration))

// Turns is the suite of the backends of turns.Store.
func Turns(t *testing.T, open OpenTurns) {
	for name, test := range map[string]func(*testing.T, OpenTurns){
		"GetAndPut": turnsGetAndPut, "TenantsNeverMeet": turnsTenants, "Expire": turnsExpire, "Delete": turnsDelete,
		"TooLarge": turnsTooLarge, "Concurrently": turnsConcurrently, "ValuesAreTheirOwn": turnsOwn, "ManyKeys": turnsMany,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func turnsTTL() turns.TTL { return turns.TTL{Response: time.Hour, Signature: time.Hour} }

func turnKey(tenant, id string) turns.Key {
	return turns.Key{Tenant: tenant, Kind: turns.Response, ID: id}
}

func mustPut(t *testing.T, s turns.Store, entries ...turns.Entry) {
	t.Helper()
	if err := s.Put(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
}

func wantValues(t *testing.T, s turns.Store, keys []turns.Key, want ...string) {
	t.Helper()
	got, err := s.Get(t.Context(), keys...)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d values: %v", len(got), err)
	}
	for i := range want {
		if string(got[i]) != want[i] || (want[i] == "") != (got[i] == nil) {
			t.Errorf("%+v: got %.100q, want %.100q", keys[i], got[i], want[i])
		}
	}
}

func turnsGetAndPut(t *testing.T, open OpenTurns) {
	s, _ := open(t, turnsTTL())
	a, b, c := turnKey("acme", "a"), turnKey("acme", "b"), turns.Key{Tenant: "acme", Kind: turns.Signature, ID: "a"}
	wantValues(t, s, []turns.Key{a, b}, "", "")
	wantValues(t, s, nil)
	mustPut(t, s, turns.Entry{Key: a, Value: []byte("one")}, turns.Entry{Key: c, Value: []byte("signed\x00\xff")})
	wantValues(t, s, []turns.Key{b, c, a}, "", "signed\x00\xff", "one")
	mustPut(t, s, turns.Entry{Key: a, Value: []byte("two")})
	wantValues(t, s, []turns.Key{a}, "two")
}

// turnsTenants: no name of one tenant's reaches another's, however it is spelled.
func turnsTenants(t *testing.T, open OpenTurns) {
	s, _ := open(t, turnsTTL())
	mustPut(t, s, turns.Entry{Key: turnKey("acme", "x:y"), Value: []byte("secret")})
	for _, k := range []turns.Key{
		turnKey("other", "x:y"), turnKey("acme:x", "y"), turnKey("", "acme:x:y"), turnKey("acme", "x:y "), turnKey("acmex", ":y"),
		{Tenant: "acme", Kind: turns.Item, ID: "x:y"},
	} {
		wantValues(t, s, []turns.Key{k}, "")
		if existed, err := s.Delete(t.Context(), k); existed || err != nil {
			t.Errorf("%+v is deleted: %v", k, err)
		}
	}
	wantValues(t, s, []turns.Key{turnKey("acme", "x:y")}, "secret")
}

func turnsExpire(t *testing.T, open OpenTurns) {
	s, pass := open(t, turns.TTL{Response: 300 * time.Millisecond, Signature: time.Hour})
	response, item := turnKey("acme", "a"), turns.Key{Tenant: "acme", Kind: turns.Item, ID: "a"}
	signature := turns.Key{Tenant: "acme", Kind: turns.Signature, ID: "a"}
	for _, k := range []turns.Key{response, item, signature} {
		mustPut(t, s, turns.Entry{Key: k, Value: []byte("v")})
	}
	pass(400 * time.Millisecond)
	wantValues(t, s, []turns.Key{response, item, signature}, "", "", "v")
}

func turnsDelete(t *testing.T, open OpenTurns) {
	s, _ := open(t, turnsTTL())
	a, b := turnKey("acme", "a"), turnKey("acme", "b")
	mustPut(t, s, turns.Entry{Key: a, Value: []byte("1")}, turns.Entry{Key: b, Value: []byte("2")})
	if existed, err := s.Delete(t.Context(), a, b); !existed || err != nil {
		t.Errorf("%v %v", existed, err)
	}
	wantValues(t, s, []turns.Key{a, b}, "", "")
	if existed, err := s.Delete(t.Context(), a); existed || err != nil {
		t.Errorf("twice: %v %v", existed, err)
	}
	mustPut(t, s, turns.Entry{Key: b, Value: []byte("2")})
	if existed, err := s.Delete(t.Context(), a, b); existed || err != nil {
		t.Errorf("the first was not there: %v %v", existed, err)
	}
	wantValues(t, s, []turns.Key{b}, "")
}

func turnsTooLarge(t *testing.T, open OpenTurns) {
	s, _ := open(t, turnsTTL())
	a, b := turnKey("acme", "a"), turnKey("acme", "b")
	large := bytes.Repeat([]byte("x"), TurnsBytes+1)
	if err := s.Put(t.Context(), turns.Entry{Key: a, Value: []byte("1")}, turns.Entry{Key: b, Value: large}); !errors.Is(err, turns.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	wantValues(t, s, []turns.Key{a, b}, "", "")
	fits := bytes.Repeat([]byte("y"), TurnsBytes-1024)
	mustPut(t, s, turns.Entry{Key: a, Value: fits})
	wantValues(t, s, []turns.Key{a}, string(fits))
}

// turnsOwn: what the caller does with its bytes afterwards changes nothing.
func turnsOwn(t *testing.T, open OpenTurns) {
	s, _ := open(t, turnsTTL())
	value := []byte("value")
	mustPut(t, s, turns.Entry{Key: turnKey("acme", "a"), Value: value})
	copy(value, "XXXXX")
	wantValues(t, s, []turns.Key{turnKey("acme", "a")}, "value")
}

func turnsMany(t *testing.T, open OpenTurns) {
	s, _ := open(t, turnsTTL())
	var entries []turns.Entry
	var keys []turns.Key
	var want []string
	for i := range 300 {
		k := turnKey("acme", fmt.Sprint("id", i))
		keys = append(keys, k)
		if i%3 == 0 {
			want = append(want, "")
			continue
		}
		entries = append(entries, turns.Entry{Key: k, Value: fmt.Append(nil, "value ", i)})
		want = append(want, fmt.Sprint("value ", i))
	}
	mustPut(t, s, entries...)
	wantValues(t, s, keys, want...)
}

func turnsConcurrently(t *testing.T, open OpenTurns) {
	s, _ := open(t, turnsTTL())
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			k := turnKey(fmt.Sprint("tenant", w), "same")
			for i := range 20 {
				want := fmt.Sprint(w, " ", i)
				if err := s.Put(context.Background(), turns.Entry{Key: k, Value: []byte(want)}); err != nil {
					t.Error(err)
				}
				if got, err := s.Get(context.Background(), k); err != nil || string(got[0]) != want {
					t.Errorf("%q, want %q (%v)", got, want, err)
				}
			}
		})
	}
	all.Wait()
}
