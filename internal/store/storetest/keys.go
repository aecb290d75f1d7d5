package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/keystore"
)

// KeyDatabase is a database of keys as the suite opens it.
type KeyDatabase interface {
	keystore.Database
	Close() error
}

// Keys tests a database of keys. open makes an empty one; again opens the one that open made last, as another replica would.
func Keys(t *testing.T, open, again func(t *testing.T) KeyDatabase) {
	for name, test := range map[string]func(*testing.T, func(*testing.T) KeyDatabase, func(*testing.T) KeyDatabase){
		"a key comes back": keyRoundTrip, "names": keyNames, "changes": keyChanges, "revisions": keyRevisions, "revisions of many": keyOrder,
		"check": keyCheck, "list": keyList, "uses": keyUses, "prune": keyPrune, "bound": keyBound, "odd texts": keyOddTexts,
	} {
		t.Run(name, func(t *testing.T) { test(t, open, again) })
	}
}

var keyTime = time.Date(2026, 11, 21, 12, 0, 0, 123_000, time.UTC)

// someKey is a key whose texts and times are all different.
func someKey(n int) *keystore.Record {
	return &keystore.Record{ID: fmt.Sprintf("key_%026d", n), Place: config.Place{Tenant: "acme", Team: "search", User: "ada"}, Name: fmt.Sprintf("k%d", n),
		Spec: fmt.Sprintf(`{"name": "k%d"}`, n), Created: keyTime, CreatedBy: "command:ada", Expires: keyTime.Add(24 * time.Hour),
		Secrets: []keystore.Secret{{Hash: sha256.Sum256(fmt.Append(nil, n)), Prefix: "dgm_ab12cd…", Created: keyTime}}}
}

func addKey(t *testing.T, db KeyDatabase, r *keystore.Record) *keystore.Record {
	t.Helper()
	if err := db.AddKey(t.Context(), r, keystore.MaxKeys); err != nil {
		t.Fatal(err)
	}
	return r
}

func keysSince(t *testing.T, db KeyDatabase, revision int64) (list []*keystore.Record) {
	t.Helper()
	if err := db.KeysSince(t.Context(), revision, func(r *keystore.Record) error {
		list = append(list, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func keyRoundTrip(t *testing.T, open, again func(*testing.T) KeyDatabase) {
	db := open(t)
	want := someKey(1)
	want.LastUsed, want.Revoked, want.RevokedBy = keyTime.Add(time.Hour), keyTime.Add(2*time.Hour), "oidc:ann@example.com"
	want.Secrets = append(want.Secrets, keystore.Secret{Hash: sha256.Sum256([]byte("old")), Prefix: "dgm_old123…", Created: keyTime.Add(-time.Hour), Expires: keyTime})
	addKey(t, db, want)
	for name, db := range map[string]KeyDatabase{"the same": db, "another replica": again(t)} {
		got, err := db.Key(t.Context(), want.ID)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", name, got, err, want)
		}
		if list := keysSince(t, db, 0); len(list) != 1 || !reflect.DeepEqual(list[0], want) {
			t.Errorf("%s: since the beginning: %+v", name, list)
		}
	}
	if _, err := db.Key(t.Context(), "key_nobody"); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("a key that is not there: %v", err)
	}
}

// A name is unique within its place among the keys that are not revoked.
func keyNames(t *testing.T, open, again func(*testing.T) KeyDatabase) {
	db := open(t)
	first := addKey(t, db, someKey(1))
	twin := someKey(2)
	twin.Name = first.Name
	if err := again(t).AddKey(t.Context(), twin, keystore.MaxKeys); !errors.Is(err, keystore.ErrTaken) {
		t.Fatalf("the same name twice: %v", err)
	}
	if s, err := db.KeyState(t.Context()); err != nil || s.Revision != first.Revision {
		t.Errorf("a refused key has moved the revision to %d, %v", s.Revision, err)
	}
	for i, at := range []config.Place{{Tenant: "acme"}, {Tenant: "acme", Team: "search"}, {Tenant: "acme", User: "ada"}, {Tenant: "globex", Team: "search", User: "ada"}} {
		r := someKey(10 + i)
		r.Name, r.Place = first.Name, at
		addKey(t, db, r)
	}
	if _, err := db.ChangeKey(t.Context(), first.ID, func(r *keystore.Record) error {
		r.Revoked, r.RevokedBy = keyTime, "me"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	addKey(t, db, twin)
	list, err := db.Keys(t.Context(), keystore.Filter{Tenant: "acme", Team: "search", User: "ada", Name: first.Name, Limit: 10})
	if err != nil || len(list) != 1 || list[0].ID != twin.ID {
		t.Errorf("of that name: %+v, %v", list, err)
	}
}

func keyChanges(t *testing.T, open, again func(*testing.T) KeyDatabase) {
	db := open(t)
	r := addKey(t, db, someKey(1))
	next := keystore.Secret{Hash: sha256.Sum256([]byte("next")), Prefix: "dgm_next12…", Created: keyTime.Add(time.Minute)}
	got, err := again(t).ChangeKey(t.Context(), r.ID, func(r *keystore.Record) error {
		r.Secrets[0].Expires = keyTime.Add(time.Hour)
		r.Secrets = append([]keystore.Secret{next}, r.Secrets...)
		r.Spec, r.Expires = `{"name": "k1", "models": ["a"]}`, time.Time{}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Revision <= r.Revision || len(got.Secrets) != 2 || got.Secrets[0] != next {
		t.Errorf("%+v", got)
	}
	if stored, err := db.Key(t.Context(), r.ID); err != nil || !reflect.DeepEqual(stored, got) {
		t.Errorf("stored %+v, %v\nsaid   %+v", stored, err, got)
	}
	own := errors.New("no")
	if _, err := db.ChangeKey(t.Context(), r.ID, func(r *keystore.Record) error { r.Spec = "x"; return own }); !errors.Is(err, own) {
		t.Errorf("the change's own error: %v", err)
	}
	if stored, err := db.Key(t.Context(), r.ID); err != nil || !reflect.DeepEqual(stored, got) {
		t.Errorf("a refused change has left %+v, %v", stored, err)
	}
	if _, err := db.ChangeKey(t.Context(), "key_nobody", func(*keystore.Record) error { return nil }); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("a key that is not there: %v", err)
	}
}

func keyRevisions(t *testing.T, open, again func(*testing.T) KeyDatabase) {
	db, other := open(t), again(t)
	if s, err := db.KeyState(t.Context()); err != nil || s.Revision != 0 {
		t.Fatalf("an empty table: %+v, %v", s, err)
	}
	var last int64
	for n := range 5 {
		r := addKey(t, []KeyDatabase{db, other}[n%2], someKey(n))
		if r.Revision <= last {
			t.Fatalf("revision %d after %d", r.Revision, last)
		}
		last = r.Revision
	}
	if s, err := other.KeyState(t.Context()); err != nil || s.Revision != last {
		t.Errorf("%+v, %v; want %d", s, err, last)
	}
	changed, err := db.ChangeKey(t.Context(), someKey(1).ID, func(r *keystore.Record) error { r.Revoked = keyTime; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if list := keysSince(t, other, last); len(list) != 1 || !reflect.DeepEqual(list[0], changed) {
		t.Errorf("since %d: %+v", last, list)
	}
	if list := keysSince(t, other, changed.Revision); len(list) != 0 {
		t.Errorf("since the last: %+v", list)
	}
	list := keysSince(t, other, 0)
	if !slices.IsSortedFunc(list, func(a, b *keystore.Record) int { return int(a.Revision - b.Revision) }) || len(list) != 5 {
		t.Errorf("since the beginning: %d keys, or out of order", len(list))
	}
	own := errors.New("no")
	if err := other.KeysSince(t.Context(), 0, func(*keystore.Record) error { return own }); !errors.Is(err, own) {
		t.Errorf("an error of each: %v", err)
	}
}

// A replica that reads while others write must not miss what becomes visible later with a lower revision.
func keyOrder(t *testing.T, open, again func(*testing.T) KeyDatabase) {
	db := open(t)
	if _, err := db.KeyState(t.Context()); err != nil {
		t.Fatal(err)
	}
	const writers, each = 4, 15
	var wg sync.WaitGroup
	for w := range writers {
		replica := again(t)
		wg.Go(func() {
			for n := range each {
				if err := replica.AddKey(context.Background(), someKey(w*each+n), keystore.MaxKeys); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	seen, revision := map[string]bool{}, int64(0)
	look := func() {
		for _, r := range keysSince(t, db, revision) {
			if r.Revision <= revision {
				t.Errorf("revision %d came after %d was seen", r.Revision, revision)
			}
			seen[r.ID] = true
			revision = r.Revision
		}
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		look()
	}
	if len(seen) != writers*each {
		t.Errorf("saw %d of %d keys", len(seen), writers*each)
	}
}

func keyCheck(t *testing.T, open, again func(*testing.T) KeyDatabase) {
	db := open(t)
	claim := func(db KeyDatabase, check, want string) {
		t.Helper()
		if got, err := db.ClaimKeys(t.Context(), check); err != nil || got != want {
			t.Errorf("claiming %s: %q, %v; want %q", check, got, err, want)
		}
	}
	claim(db, "one", "one")
	claim(again(t), "one", "one")
	claim(again(t), "two", "two") // there is no key yet
	addKey(t, db, someKey(1))
	claim(again(t), "one", "two")
	if s, err := db.KeyState(t.Context()); err != nil || s.Check != "two" {
		t.Errorf("%+v, %v", s, err)
	}
}

func keyList(t *testing.T, open, _ func(*testing.T) KeyDatabase) {
	db := open(t)
	places := []config.Place{{Tenant: "acme"}, {Tenant: "acme", Team: "search"}, {Tenant: "acme", Team: "search", User: "ada"}, {Tenant: "acme", User: "ada"}, {Tenant: "globex"}}
	for n := range 20 {
		r := someKey(n)
		r.Place = places[n%len(places)]
		if n >= 15 {
			r.Revoked = keyTime
		}
		r.Secrets = append(r.Secrets, keystore.Secret{Hash: sha256.Sum256(fmt.Append(nil, "old", n)), Prefix: "dgm_old", Created: keyTime.Add(-time.Hour), Expires: keyTime})
		addKey(t, db, r)
	}
	for name, c := range map[string]struct {
		f    keystore.Filter
		want int
	}{
		"all":           {keystore.Filter{Limit: 100}, 15},
		"with revoked":  {keystore.Filter{Limit: 100, Revoked: true}, 20},
		"tenant":        {keystore.Filter{Limit: 100, Tenant: "acme"}, 12},
		"team":          {keystore.Filter{Limit: 100, Tenant: "acme", Team: "search"}, 6},
		"user":          {keystore.Filter{Limit: 100, Tenant: "acme", User: "ada"}, 6},
		"name":          {keystore.Filter{Limit: 100, Name: "k3"}, 1},
		"nobody":        {keystore.Filter{Limit: 100, Tenant: "acm_"}, 0},
		"bounded":       {keystore.Filter{Limit: 4}, 4},
		"after the 9th": {keystore.Filter{Limit: 100, After: someKey(8).ID}, 6},
	} {
		list, err := db.Keys(t.Context(), c.f)
		if err != nil || len(list) != c.want {
			t.Errorf("%s: %d keys, %v; want %d", name, len(list), err, c.want)
		}
		for i, r := range list {
			if len(r.Secrets) != 2 || r.Secrets[0].Prefix == "dgm_old" {
				t.Errorf("%s: %s has %d secrets, the first is %s", name, r.ID, len(r.Secrets), r.Secrets[0].Prefix)
			}
			if i > 0 && list[i-1].ID >= r.ID {
				t.Errorf("%s: %s comes after %s", name, r.ID, list[i-1].ID)
			}
		}
	}
}

// The latest use counts, whoever says so last; and no replica reads all keys anew because of it.
func keyUses(t *testing.T, open, again func(*testing.T) KeyDatabase) {
	db := open(t)
	a, b := addKey(t, db, someKey(1)), addKey(t, db, someKey(2))
	at := func(m int) time.Time { return keyTime.Add(time.Duration(m) * time.Minute) }
	for _, uses := range [][]keystore.Use{{{ID: a.ID, At: at(2)}, {ID: b.ID, At: at(1)}}, {{ID: a.ID, At: at(1)}, {ID: "key_gone", At: at(9)}}, {{ID: b.ID, At: at(3)}}, nil} {
		if err := again(t).NoteUses(t.Context(), uses); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]time.Time{a.ID: at(2), b.ID: at(3)} {
		if r, err := db.Key(t.Context(), id); err != nil || !r.LastUsed.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", id, r.LastUsed, err, want)
		}
	}
	if list := keysSince(t, db, b.Revision); len(list) != 0 {
		t.Errorf("uses count as changes: %+v", list)
	}
}

func keyPrune(t *testing.T, open, _ func(*testing.T) KeyDatabase) {
	db := open(t)
	cut := keyTime.Add(1000 * time.Hour)
	for n, change := range []func(*keystore.Record){
		func(r *keystore.Record) { r.Expires = time.Time{} },
		func(r *keystore.Record) { r.Expires = cut.Add(time.Hour) },
		func(r *keystore.Record) { r.Expires, r.Revoked = time.Time{}, cut.Add(time.Hour) },
		func(r *keystore.Record) { r.Expires = cut.Add(-time.Hour) },                                       // goes
		func(r *keystore.Record) { r.Expires, r.Revoked = cut.Add(time.Hour), cut.Add(-time.Microsecond) }, // goes
		func(r *keystore.Record) {
			r.Expires = time.Time{}
			r.Secrets = append(r.Secrets, keystore.Secret{Hash: sha256.Sum256([]byte("old")), Created: keyTime.Add(-time.Hour), Expires: cut.Add(-time.Hour)})
		},
	} {
		r := someKey(n)
		change(r)
		addKey(t, db, r)
	}
	removed, err := db.PruneKeys(t.Context(), cut)
	if err != nil || removed != 2 {
		t.Fatalf("removed %d, %v; want 2", removed, err)
	}
	list := keysSince(t, db, 0)
	if len(list) != 4 {
		t.Fatalf("%d are left", len(list))
	}
	for _, r := range list {
		if len(r.Secrets) != 1 {
			t.Errorf("%s has %d secrets", r.ID, len(r.Secrets))
		}
	}
	if again, err := db.PruneKeys(t.Context(), cut); err != nil || again != 0 {
		t.Errorf("once more: %d, %v", again, err)
	}
}

// How many keys there may be is counted through everything that becomes of them.
func keyBound(t *testing.T, open, again func(*testing.T) KeyDatabase) {
	db := open(t)
	for n := range 3 {
		addKey(t, db, someKey(n))
	}
	add := func(n int) error { return again(t).AddKey(t.Context(), someKey(n), 3) }
	if err := add(3); !errors.Is(err, keystore.ErrFull) {
		t.Fatalf("one too many: %v", err)
	}
	revoke := func(n int) {
		for range 2 { // the second time changes nothing
			if _, err := db.ChangeKey(t.Context(), someKey(n).ID, func(r *keystore.Record) error { r.Revoked = keyTime; return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	revoke(0)
	if err := add(3); err != nil {
		t.Fatalf("after one was revoked: %v", err)
	}
	if err := add(4); !errors.Is(err, keystore.ErrFull) {
		t.Fatalf("one too many: %v", err)
	}
	if removed, err := db.PruneKeys(t.Context(), keyTime.Add(time.Hour)); err != nil || removed != 1 {
		t.Fatalf("pruned %d, %v", removed, err)
	}
	if err := add(4); !errors.Is(err, keystore.ErrFull) {
		t.Fatalf("after a revoked one was pruned: %v", err)
	}
	if removed, err := db.PruneKeys(t.Context(), keyTime.Add(48*time.Hour)); err != nil || removed != 3 {
		t.Fatalf("pruned %d, %v", removed, err)
	}
	if err := add(4); err != nil {
		t.Fatalf("after the others had expired: %v", err)
	}
}

func keyOddTexts(t *testing.T, open, _ func(*testing.T) KeyDatabase) {
	db := open(t)
	for n, text := range []string{"o'hara", `a"b\c`, "$1", "?", "%", "müller", "日本語", "; DROP TABLE dragoman_keys; --"} {
		r := someKey(n)
		r.Place.User, r.Name, r.CreatedBy = text, text, text
		addKey(t, db, r)
		list, err := db.Keys(t.Context(), keystore.Filter{User: text, Name: text, Limit: 10})
		if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], r) {
			t.Errorf("%s: %+v, %v", text, list, err)
		}
	}
}
