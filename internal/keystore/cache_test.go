package keystore

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// restarted is a replica with the files of another, whose database is away.
func restarted(t *testing.T, old *rig, change func(*Options)) *rig {
	t.Helper()
	old.db.set(errAway)
	t.Cleanup(func() { old.db.set(nil) })
	r := replica(t, old.db, old.clock, func(o *Options) {
		o.Settings.Cache = old.o.Settings.Cache
		if change != nil {
			change(o)
		}
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// A start without the database lets in who was known, refuses who was refused, and finds the rest when the database is back.
func TestC7_start_without_the_database(t *testing.T) {
	old := started(t, newMemory(), newClock())
	_, secret := old.create(t, config.Place{Tenant: "acme", Team: "search", User: "ada"}, "a", time.Time{})
	_, brief := old.create(t, search, "brief", old.clock.now().Add(time.Hour))
	k, revoked := old.create(t, search, "revoked", time.Time{})
	rk, rotated := old.create(t, search, "rotated", time.Time{})
	if _, err := old.Revoke(t.Context(), "me", k.ID); err != nil {
		t.Fatal(err)
	}
	_, next, err := old.Rotate(t.Context(), "me", rk.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	old.saveCache(true)
	_, late := old.create(t, search, "late", time.Time{})
	made := old.clock.now()
	old.clock.pass(time.Minute)

	r := restarted(t, old, nil)
	for want, secrets := range map[string][]string{"": {secret, brief, next}, CodeRevoked: {revoked}, CodeExpired: {rotated}, CodeUnavailable: {late}, CodeInvalid: {"sk-x"}} {
		for _, s := range secrets {
			if code := r.says(t, s); code != want {
				t.Errorf("%q, want %q", code, want)
			}
		}
	}
	if p, err := r.Lookup(r.snap.Load(), secret); err != nil || p.Path() != "acme/search/@ada/a" || !p.Budgeted() {
		t.Errorf("%+v, %v", p, err)
	}
	if st := r.Status(); st.Source != SourceCache || st.Keys != 4 || !st.AsOf.Equal(made) || st.Age != 60 || st.Error == "" {
		t.Errorf("%+v", st)
	}
	r.clock.pass(time.Hour)
	if code := r.says(t, brief); code != CodeExpired {
		t.Errorf("an expiry of the file: %q", code)
	}
	old.db.set(nil)
	r.look(t.Context())
	if code := r.says(t, late); code != "" {
		t.Errorf("when the database is back: %q", code)
	}
	if st := r.Status(); st.Source != SourceDatabase || st.Keys != 5 || st.Age != 0 || st.Error != "" {
		t.Errorf("%+v", st)
	}
}

// Without database and file nobody is known, and no key of ours is called invalid.
func TestC7_start_with_nothing(t *testing.T) {
	old := started(t, newMemory(), newClock())
	_, secret := old.create(t, search, "a", time.Time{})
	for name, change := range map[string]func(*Options){"no file": nil, "none is kept": func(o *Options) { o.Settings.Cache = "" }} {
		r := restarted(t, old, change)
		if code := r.says(t, secret); code != CodeUnavailable {
			t.Errorf("%s: %q", name, code)
		}
		if code := r.says(t, "sk-x"); code != CodeInvalid {
			t.Errorf("%s: what is no key of ours: %q", name, code)
		}
		if st := r.Status(); st.Source != SourceNone || !st.AsOf.IsZero() || st.Age != 0 {
			t.Errorf("%s: %+v", name, st)
		}
		r.saveCache(true)
		if _, err := os.Stat(old.o.Settings.Cache); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a file of nothing was written: %v", name, err)
		}
		old.db.set(nil)
		r.look(t.Context())
		if code := r.says(t, secret); code != "" {
			t.Errorf("%s: when the database is back: %q", name, code)
		}
	}
}

// The file is written for this user alone, whole or not at all, and holds no secret.
func TestCacheFile(t *testing.T) {
	r := started(t, newMemory(), newClock())
	_, secret := r.create(t, search, "a", time.Time{})
	path := r.o.Settings.Cache
	r.saveCache(false)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	data, _ := os.ReadFile(path)
	if bytes.Contains(data, []byte(secret[4:20])) || bytes.Contains(data, []byte(testSecret[:10])) {
		t.Error("it holds a secret")
	}
	write := func() bool { // says whether it was written
		before, _ := os.Stat(path)
		r.saveCache(false)
		after, _ := os.Stat(path)
		return !os.SameFile(before, after)
	}
	if write() {
		t.Error("written though nothing has changed")
	}
	r.clock.pass(time.Minute)
	r.create(t, search, "b", time.Time{})
	if !write() {
		t.Error("not written though something has changed")
	}
	r.clock.pass(cacheStale)
	_ = r.Refresh(t.Context())
	if write() {
		t.Error("written before it is stale")
	}
	r.clock.pass(time.Second)
	if !write() {
		t.Error("it gets older than it says")
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What somebody has written into the file, or put in its place, is ignored and said.
func TestCacheFileOfSomebodyElse(t *testing.T) {
	old := started(t, newMemory(), newClock())
	_, secret := old.create(t, search, "a", time.Time{})
	old.saveCache(true)
	path := old.o.Settings.Cache
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(good)
	changed[len(changed)/2] ^= 1
	other := encodeCache(old.clock.now(), old.table.list(), derive("another secret of more than 32 characters", "cache"))
	h := hmac.New(sha256.New, derive(testSecret, "cache"))
	h.Write([]byte("some other file\n"))
	for name, data := range map[string][]byte{
		"changed": changed, "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0), "empty": {}, "text": []byte("keys"), "another secret": other,
		"another kind": h.Sum([]byte("some other file\n")), "cut to the magic": good[:len(cacheMagic)],
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			r := restarted(t, old, nil)
			if code := r.says(t, secret); code != CodeUnavailable {
				t.Errorf("%q", code)
			}
			if !strings.Contains(r.log.String(), "is ignored") {
				t.Errorf("not said:\n%s", r.log.String())
			}
		})
	}
}

// FuzzCache gives the decoder files with a right HMAC, as only a faulty program of ours would write them, and with a wrong one.
func FuzzCache(f *testing.F) {
	mac := derive(testSecret, "cache")
	seal := func(body []byte) []byte {
		h := hmac.New(sha256.New, mac)
		h.Write(body)
		return h.Sum(bytes.Clone(body))
	}
	r := started(f, newMemory(), newClock())
	r.create(f, config.Place{Tenant: "acme", Team: "search", User: "ada"}, "a", r.clock.now().Add(time.Hour))
	k, _ := r.create(f, search, "b", time.Time{})
	if _, _, err := r.Rotate(f.Context(), "me", k.ID, time.Hour); err != nil {
		f.Fatal(err)
	}
	whole := encodeCache(r.clock.now(), r.table.list(), mac)
	f.Add(whole[:len(whole)-sha256.Size])
	f.Add([]byte(cacheMagic))
	f.Add([]byte(cacheMagic + "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add(encodeCache(time.Time{}, nil, nil)[:len(cacheMagic)+5])
	f.Fuzz(func(t *testing.T, body []byte) {
		asOf, records, err := decodeCache(seal(body), mac)
		if err == nil {
			again := encodeCache(asOf, records, mac)
			asOf2, records2, err := decodeCache(again, mac)
			if err != nil || !asOf2.Equal(asOf) || len(records2) != len(records) || !bytes.Equal(encodeCache(asOf2, records2, mac), again) {
				t.Errorf("what was read is not what is written: %v", err)
			}
			var tb table
			tb.init()
			tb.replace(records)
		}
		if _, _, err := decodeCache(body, mac); err == nil && !bytes.Equal(body, seal(body[:len(body)-sha256.Size])) {
			t.Error("a file without its HMAC is taken")
		}
	})
}

func TestMakeSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder", "keys.secret")
	answers := make(chan string, 8)
	for range cap(answers) {
		go func() {
			s, err := MakeSecret(path)
			if err != nil {
				t.Error(err)
			}
			answers <- s
		}()
	}
	first := <-answers
	for range cap(answers) - 1 {
		if s := <-answers; s != first {
			t.Error("two programs have made two secrets")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || len(first) < minSecret {
		t.Errorf("%v, %v, %d characters", info, err, len(first))
	}
	for name, c := range map[string]struct {
		data string
		mode os.FileMode
		says string
	}{
		"short":       {"short\n", 0o600, "fewer than 32"},
		"open":        {first, 0o644, "chmod 600"},
		"much larger": {strings.Repeat("x", 9<<10), 0o600, "no small regular file"},
	} {
		bad := filepath.Join(t.TempDir(), "keys.secret")
		if err := os.WriteFile(bad, []byte(c.data), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := MakeSecret(bad); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), first) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := MakeSecret(t.TempDir()); err == nil {
		t.Error("a folder is taken for a secret")
	}
}

// Uses go to the database together, only those that are new, and wait while it is away.
func TestUses(t *testing.T) {
	r := started(t, newMemory(), newClock())
	a, first := r.create(t, search, "a", time.Time{})
	r.create(t, search, "unused", time.Time{})
	used := r.clock.now()
	for range 100 {
		r.says(t, first)
	}
	if k, _ := r.Get(t.Context(), a.ID); !k.LastUsed.Equal(used) {
		t.Errorf("this replica knows at once: %s", k.LastUsed)
	}
	r.noteUses(t.Context())
	r.noteUses(t.Context())
	if len(r.db.uses) != 1 || r.db.uses[0].ID != a.ID || !r.db.uses[0].At.Equal(used) {
		t.Fatalf("%+v", r.db.uses)
	}
	r.db.set(errAway)
	r.clock.pass(time.Hour)
	r.says(t, first)
	r.noteUses(t.Context())
	_ = r.Refresh(t.Context())
	r.noteUses(t.Context())
	r.db.set(nil)
	_ = r.Refresh(t.Context())
	r.noteUses(t.Context())
	if len(r.db.uses) != 2 || !r.db.uses[1].At.Equal(used.Add(time.Hour)) {
		t.Errorf("%+v", r.db.uses)
	}
	// A change of the key keeps what is known of its use; a refused lookup is none.
	r.clock.pass(time.Hour)
	r.says(t, first)
	if _, err := r.Revoke(t.Context(), "me", a.ID); err != nil {
		t.Fatal(err)
	}
	r.clock.pass(time.Hour)
	r.says(t, first)
	r.noteUses(t.Context())
	if n := len(r.db.uses); n != 3 || !r.db.uses[2].At.Equal(used.Add(2*time.Hour)) {
		t.Errorf("%+v", r.db.uses)
	}
	// Another replica's use is not told back.
	other := started(t, r.db, r.clock)
	other.noteUses(t.Context())
	if n := len(r.db.uses); n != 3 {
		t.Errorf("%+v", r.db.uses)
	}
}

// A backup in the place of the database is read anew, whatever revision it is at.
func TestAnotherDatabase(t *testing.T) {
	r := started(t, newMemory(), newClock())
	_, kept := r.create(t, search, "kept", time.Time{})
	backup := newMemory()
	backup.state = r.db.state
	for id, k := range r.db.keys {
		backup.keys[id] = *copyOf(k)
	}
	_, gone := r.create(t, search, "gone", time.Time{})
	r.o.Database = backup
	_ = r.Refresh(t.Context())
	if a, b := r.says(t, kept), r.says(t, gone); a != "" || b != CodeInvalid {
		t.Errorf("a lower revision: %q, %q", a, b)
	}
	// As many changes as the other had, while it was away.
	third := newMemory()
	third.state = r.db.state
	r.db = third
	backup.set(errAway)
	_ = r.Refresh(t.Context())
	r.o.Database = third
	_ = r.Refresh(t.Context())
	if code := r.says(t, kept); code != CodeInvalid {
		t.Errorf("an empty one after an outage: %q", code)
	}
	if _, _, err := r.Create(t.Context(), "me", search, &dragomanv1.Key{Name: "new"}, time.Time{}); err != nil {
		t.Error(err)
	}
}

// Nothing is read while nothing changes, and of what changes only that.
func TestRefreshReadsOnlyChanges(t *testing.T) {
	db, c := newMemory(), newClock()
	r, other := started(t, db, c), started(t, db, c)
	db.asked = 0 // but for the starts
	for range 10 {
		_ = other.Refresh(t.Context())
	}
	if db.asked != 0 {
		t.Errorf("an unchanged table was read %d times", db.asked)
	}
	r.create(t, search, "a", time.Time{})
	r.create(t, search, "b", time.Time{})
	before := db.asked
	_ = other.Refresh(t.Context())
	_ = other.Refresh(t.Context())
	if n := db.asked - before; n != 1 {
		t.Errorf("a change was read %d times", n)
	}
	if n := other.table.size(); n != 2 {
		t.Errorf("%d keys", n)
	}
}

// What has ended long ago goes, from the database and from memory, here and in other replicas.
func TestPrune(t *testing.T) {
	r := started(t, newMemory(), newClock())
	other := started(t, r.db, r.clock)
	k, secret := r.create(t, search, "a", time.Time{})
	_, stays := r.create(t, search, "b", time.Time{})
	if _, err := r.Revoke(t.Context(), "me", k.ID); err != nil {
		t.Fatal(err)
	}
	_ = other.Refresh(t.Context())
	r.clock.pass(keepEnded)
	r.prune(t.Context())
	_ = r.Refresh(t.Context())
	if code := r.says(t, secret); code != CodeRevoked {
		t.Errorf("before its time: %q", code)
	}
	r.clock.pass(time.Microsecond)
	r.prune(t.Context())
	_ = r.Refresh(t.Context())
	if code := r.says(t, secret); code != CodeInvalid {
		t.Errorf("after its time: %q", code)
	}
	for range wholeEvery {
		other.prune(t.Context())
	}
	_ = other.Refresh(t.Context())
	for name, r := range map[string]*rig{"here": r, "another replica": other} {
		if a, b, n := r.says(t, secret), r.says(t, stays), r.table.size(); a != CodeInvalid || b != "" || n != 1 {
			t.Errorf("%s: %q, %q, %d keys", name, a, b, n)
		}
	}
	r.db.set(errAway)
	r.prune(t.Context())
	if !strings.Contains(r.log.String(), "were not removed") {
		t.Error("a failure is not said")
	}
}
