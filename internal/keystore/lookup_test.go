package keystore

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

var errAway = errors.New("connection refused")

func TestHashIsHMAC(t *testing.T) {
	for _, key := range []string{"", "k", strings.Repeat("k", 32), strings.Repeat("k", 64), strings.Repeat("k", 65), strings.Repeat("k", 500)} {
		h := newHasher([]byte(key))
		for _, n := range []int{0, 1, 55, 56, 64, 119, 120, maxSecret} {
			secret := strings.Repeat("s", n)
			mac := hmac.New(sha256.New, []byte(key))
			mac.Write([]byte(secret))
			if got := h.sum(secret); !hmac.Equal(got[:], mac.Sum(nil)) {
				t.Errorf("a key of %d bytes, a secret of %d: another sum than crypto/hmac's", len(key), n)
			}
		}
	}
}

func TestWhatIsNoKey(t *testing.T) {
	r := started(t, newMemory(), newClock())
	_, secret := r.create(t, search, "a", time.Time{})
	for _, sent := range []string{"", "x", secret[:len(secret)-1], secret + "a", strings.ToUpper(secret), strings.Repeat("k", maxSecret), strings.Repeat("k", maxSecret+1), secret + strings.Repeat("\x00", 10)} {
		if code := r.says(t, sent); code != CodeInvalid {
			t.Errorf("%d bytes: %q", len(sent), code)
		}
	}
}

// While the database is away callers are let in by what is known; what is not known and may be new is not called invalid (C7).
func TestC7_database_away(t *testing.T) {
	r := started(t, newMemory(), newClock())
	_, secret := r.create(t, search, "a", time.Time{})
	unknown, _ := config.NewKey(strings.NewReader(strings.Repeat("unknown ", 4)))
	if code := r.says(t, unknown); code != CodeInvalid {
		t.Errorf("while it is there: %q", code)
	}
	r.db.set(errAway)
	r.look(t.Context())
	if code := r.says(t, unknown); code != CodeInvalid {
		t.Errorf("a moment after: %q", code)
	}
	for range 100 {
		r.clock.pass(time.Minute)
		r.look(t.Context())
	}
	if code := r.says(t, secret); code != "" {
		t.Errorf("a known key: %q", code)
	}
	if code := r.says(t, "sk-someone-elses"); code != CodeInvalid {
		t.Errorf("what is no key of ours: %q", code)
	}
	_, err := r.Lookup(r.snap.Load(), unknown)
	var f *fault.Fault
	if !errors.As(err, &f) || f.Kind != fault.Unavailable || f.Code != CodeUnavailable || f.RetryAfter == 0 {
		t.Errorf("what may be a new key: %#v", err)
	}
	if st := r.Status(); st.Age < 6000 || st.Error == "" || st.Failures != 101 || st.Keys != 1 {
		t.Errorf("%+v", st)
	}
	if n := strings.Count(r.log.String(), "does not answer"); n != 1 {
		t.Errorf("said %d times:\n%s", n, r.log.String())
	}
	r.db.set(nil)
	r.look(t.Context())
	if code := r.says(t, unknown); code != CodeInvalid {
		t.Errorf("when it is back: %q", code)
	}
	if st := r.Status(); st.Age != 0 || st.Error != "" || !strings.Contains(r.log.String(), "answers again") {
		t.Errorf("%+v\n%s", st, r.log.String())
	}
}

// A database that stands still holds up no lookup, and no longer than a while who asks it.
func TestC7_database_stands_still(t *testing.T) {
	r := started(t, newMemory(), newClock())
	_, secret := r.create(t, search, "a", time.Time{})
	r.db.mu.Lock()
	r.db.still = make(chan struct{})
	r.db.mu.Unlock()
	done := make(chan error)
	go func() { done <- r.Refresh(t.Context()) }()
	for range 1000 {
		if code := r.says(t, secret); code != "" {
			t.Fatalf("%q", code)
		}
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("a look at it has succeeded")
		}
	case <-time.After(20 * time.Second):
		t.Error("a look at it does not end")
	}
}

// What the configuration no longer has is refused with its own code, and works again when it is back.
func TestConfigurationChanges(t *testing.T) {
	r := started(t, newMemory(), newClock())
	_, secret := r.create(t, search, "a", time.Time{})
	before := r.snap.Load()
	for _, step := range []struct{ tenants, code string }{
		{acme, ""},
		{`[{name: acme}]`, CodeNoTenant},
		{`[{name: globex}]`, CodeNoTenant},
		{`[{name: acme, teams: [{name: search}]}]`, ""},
	} {
		r.snap.Store(snapshot(t, step.tenants))
		for range 2 {
			_, err := r.Lookup(r.snap.Load(), secret)
			var f *fault.Fault
			if (err != nil) != (step.code != "") || errors.As(err, &f) && (f.Code != step.code || f.Kind != fault.PermissionDenied) {
				t.Errorf("%s: %#v, want %q", step.tenants, err, step.code)
			}
		}
	}
	if n := strings.Count(r.log.String(), "does not fit"); n != 2 {
		t.Errorf("said %d times, want once for each configuration:\n%s", n, r.log.String())
	}
	// A request that began under the first is served by that.
	if p, err := r.Lookup(before, secret); err != nil || len(p.Meters) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

// A spec that a later configuration does not take refuses its key, and no other.
func TestSpecNoLongerFits(t *testing.T) {
	r := started(t, newMemory(), newClock())
	k, secret := r.create(t, search, "a", time.Time{})
	_, well := r.create(t, search, "b", time.Time{})
	for _, spec := range []string{`{"name": "a", "providers": ["gone"]}`, `{"name": "a", "a_field_to_come": 1}`, `{`} {
		if _, err := r.db.ChangeKey(t.Context(), k.ID, func(r *Record) error { r.Spec = spec; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if code := r.says(t, secret); code != CodeUnusable {
			t.Errorf("%s: %q", spec, code)
		}
		if code := r.says(t, well); code != "" {
			t.Errorf("the other: %q", code)
		}
		if got, err := r.Get(t.Context(), k.ID); err != nil || got.Path() != "acme/search/a" {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// One principal for each key and configuration, and nothing of a configuration that is gone stays because a key is not used again.
func TestPrincipalsAreKeptForOneConfiguration(t *testing.T) {
	r := started(t, newMemory(), newClock())
	var secrets []string
	for n := range 50 {
		_, s := r.create(t, search, fmt.Sprintf("k%d", n), time.Time{})
		secrets = append(secrets, s)
	}
	snap := r.snap.Load()
	p, _ := r.Lookup(snap, secrets[0])
	if again, _ := r.Lookup(snap, secrets[0]); again != p {
		t.Error("compiled twice")
	}
	if len(r.first) != 1 || r.first[0] != p {
		t.Errorf("told of %d newcomers", len(r.first))
	}
	for _, s := range secrets {
		r.says(t, s)
	}
	if n := len(r.Seen(snap, 100)); n != 50 {
		t.Errorf("%d were seen", n)
	}
	if n := len(r.Seen(snap, 10)); n != 10 {
		t.Errorf("%d were seen of 10 at most", n)
	}
	gone := make(chan struct{})
	runtime.AddCleanup(snap, func(c chan struct{}) { close(c) }, gone)
	r.snap.Store(snapshot(t, acme))
	r.says(t, secrets[0])
	if n := len(r.Seen(r.snap.Load(), 100)); n != 1 {
		t.Errorf("%d were seen under the new one", n)
	}
	r.sweep()
	p, snap = nil, nil
	r.first = nil
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the configuration that is no longer in force is still in memory")
		}
	}
}

func TestBudgeted(t *testing.T) {
	r := started(t, newMemory(), newClock())
	_, plain := r.create(t, search, "plain", time.Time{})
	_, user := r.create(t, config.Place{Tenant: "acme", Team: "search", User: "ada"}, "a", time.Time{})
	r.says(t, plain)
	r.says(t, user)
	k, _ := r.create(t, search, "own", time.Time{})
	if _, err := r.db.ChangeKey(t.Context(), k.ID, func(r *Record) error {
		r.Spec = `{"name": "own", "budgets": [{"usd": 1, "per": "day"}]}`
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	_ = r.Refresh(t.Context())
	paths := func(most int) (out []string) {
		for _, p := range r.Budgeted(r.snap.Load(), most) {
			out = append(out, p.Path())
		}
		return out
	}
	if got := strings.Join(paths(10), " "); got != "acme/search/@ada/a acme/search/own" {
		t.Errorf("%s", got)
	}
	if got := strings.Join(paths(1), " "); got != "acme/search/@ada/a" { // used last
		t.Errorf("%s", got)
	}
}

// Lookups go on while keys are made, rotated and revoked, configurations change and the table is read anew.
func TestLookupsBesideChanges(t *testing.T) {
	r := started(t, newMemory(), newClock())
	r.o.First = func(*config.Principal) {}
	_, steady := r.create(t, search, "steady", time.Time{})
	a, b := r.snap.Load(), snapshot(t, acme)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := r.Lookup(r.snap.Load(), steady); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 60 {
		r.snap.Store([]*config.Snapshot{a, b}[n%2])
		k, secret := r.create(t, search, fmt.Sprintf("k%d", n), time.Time{})
		r.says(t, secret)
		if _, _, err := r.Rotate(t.Context(), "me", k.ID, time.Hour); err != nil {
			t.Error(err)
		}
		if _, err := r.Revoke(t.Context(), "me", k.ID); err != nil {
			t.Error(err)
		}
		if code := r.says(t, secret); code != CodeRevoked {
			t.Errorf("%q", code)
		}
		r.sweep()
		r.noteUses(t.Context())
		r.saveCache(n%7 == 0)
		if n%10 == 0 {
			r.polling.Lock()
			r.loaded = false
			r.polling.Unlock()
		}
	}
	close(stop)
	wg.Wait()
}

// The benchmark's table is as large as a company's.
func benchmarkStore(b *testing.B) (*rig, []string) {
	r := started(b, newMemory(), newClock())
	r.o.Now = time.Now
	var secrets []string
	for n := range 10_000 {
		secret, kept, err := r.newSecret(time.Now())
		if err != nil {
			b.Fatal(err)
		}
		secrets = append(secrets, secret)
		r.db.keys[fmt.Sprint(n)] = Record{ID: fmt.Sprint(n), Place: search, Name: fmt.Sprintf("k%d", n), Spec: fmt.Sprintf(`{"name": "k%d"}`, n), Revision: int64(n + 1), Secrets: []Secret{kept}}
	}
	r.db.state.Revision = 10_000
	if err := r.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, s := range secrets {
		r.says(b, s)
	}
	return r, secrets
}

func BenchmarkLookup(b *testing.B) {
	r, secrets := benchmarkStore(b)
	snap := r.snap.Load()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := r.Lookup(snap, secrets[i%len(secrets)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookupParallel(b *testing.B) {
	r, secrets := benchmarkStore(b)
	snap := r.snap.Load()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := r.Lookup(snap, secrets[i%len(secrets)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The first use of a key under a configuration.
func BenchmarkCompile(b *testing.B) {
	r, _ := benchmarkStore(b)
	snap, list := r.snap.Load(), r.table.list()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		rec := list[i%len(list)]
		rec.compiled.Store(nil)
		r.compile(rec, snap)
	}
}

func BenchmarkHash(b *testing.B) {
	h := newHasher([]byte(testSecret))
	secret, _ := config.NewKey(rand.Reader)
	b.ReportAllocs()
	for b.Loop() {
		h.sum(secret)
	}
}
