package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/keystore"
	"dragoman/processor/account"
	dragomanv1 "dragoman/proto/dragoman/v1"
	"dragoman/translate/chat"
)

const keysConfig = `providers: [{name: openai, endpoint: "http://127.0.0.1:1"}]
tenants: [{name: acme, keys: [{name: ci, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}]}]
`

// keysApp is a program that keeps keys and does not run.
func keysApp(t *testing.T, rest string) (*App, error) {
	t.Helper()
	a, err := New(Options{ConfigFile: file(t, keysConfig+rest), LookupEnv: env("STATE_DIRECTORY", t.TempDir())})
	if err == nil {
		a.grpc = a.newGRPC() // which the status asks
		t.Cleanup(func() {
			a.dropBook()
			a.abandon()
		})
	}
	return a, err
}

func create(t *testing.T, a *App, at config.Place, spec *dragomanv1.Key) (*keystore.Key, string) {
	t.Helper()
	k, secret, err := a.keys.Create(t.Context(), "test", at, spec, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return k, secret
}

// What a key has spent before this process began counts from its first request on.
func TestBudgetsOfNewcomers(t *testing.T) {
	a, err := keysApp(t, "ledger: {}\nidentity: {keys: {}}\n")
	if err != nil {
		t.Fatal(err)
	}
	usd := 1.0
	_, rich := create(t, a, config.Place{Tenant: "acme"}, &dragomanv1.Key{Name: "rich"})
	_, poor := create(t, a, config.Place{Tenant: "acme"}, &dragomanv1.Key{Name: "poor", Budgets: []*dragomanv1.Budget{{Usd: &usd, Per: "month"}}})
	price := &config.Price{Input: 1_000_000}
	for n, user := range []string{"", "ada"} { // a user's key of the same name is another
		a.book.Record(&account.Record{ID: string(rune('a' + n)), Time: time.Now(), Tenant: "acme", User: user, Key: "poor", Endpoint: "/v1/chat/completions", Schema: chat.OpenAI,
			Status: 200, Outcome: "ok", Attempts: 1, Model: "m", Known: true, Provider: "openai", Usage: chat.Usage{Known: true, Input: 700_000}, Price: price, Priced: true, Cost: 700_000})
	}
	snap := a.serving.Load()
	for _, secret := range []string{rich, poor, poor} {
		if _, err := a.keys.Lookup(snap, secret); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(a.keys.newcomers); n != 1 {
		t.Fatalf("%d newcomers wait, want the one with a budget", n)
	}
	p := <-a.keys.newcomers
	a.reconcileNewcomers(t.Context(), p)
	meter := p.Meters[len(p.Meters)-1]
	if spent, ok := a.limits.gate.Known(p.Slot, meter, time.Now()); !ok || spent != 700_000 {
		t.Errorf("known: %d, %t", spent, ok)
	}
	if n := len(a.callers(snap)); n != 4 { // the configuration's key, its tenant, and the two that have called
		t.Errorf("%d callers", n)
	}
	if !a.seeded.has(p.Slot+"/"+meter.Key, meter.Window(time.Now()).Start) {
		t.Error("it would be compared again at once")
	}
}

func TestKeysNeedALedger(t *testing.T) {
	_, err := keysApp(t, "identity: {keys: {}}\n")
	var problems *config.Problems
	if !errors.As(err, &problems) || problems.List[0].Path != "identity.keys" || !strings.Contains(err.Error(), "needs `ledger`") {
		t.Errorf("%v", err)
	}
	a, err := keysApp(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if a.keyStore() != nil || a.status().Keys != nil {
		t.Error("there is a store of keys that nobody asked for")
	}
	a.showKeys()
	a.runKeys(t.Context())
	a.closeKeys()
}

// The program's end writes down what was used last.
func TestKeysAtTheEnd(t *testing.T) {
	a, err := keysApp(t, "ledger: {}\nidentity: {keys: {}}\n")
	if err != nil {
		t.Fatal(err)
	}
	k, secret := create(t, a, config.Place{Tenant: "acme"}, &dragomanv1.Key{Name: "one"})
	if _, err := a.keys.Lookup(a.serving.Load(), secret); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a.runKeys(ctx)
	cancel()
	a.closeKeys()
	if r, err := a.book.db.Key(t.Context(), k.ID); err != nil || r.LastUsed.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if st := a.status().Keys; st == nil || st.Keys != 1 || st.Source != keystore.SourceDatabase {
		t.Errorf("%+v", st)
	}
}

func TestFuture(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "90d": now.AddDate(0, 0, 90), "12h": now.Add(12 * time.Hour), "2026-12-31": time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC),
		"2026-12-31T08:00:00+01:00": time.Date(2026, 12, 31, 7, 0, 0, 0, time.UTC),
	} {
		if got, err := future(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"0d", "-1d", "99999d", "-12h", "0s", "soon", "2026-13-01", "d"} {
		if got, err := future(text, now); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestSpecOfFlags(t *testing.T) {
	for name, n := range map[string]NewStoredKey{"a period alone": {Per: "day"}, "a budget alone": {BudgetUSD: 1}, "tokens alone": {BudgetTokens: 1}} {
		if _, err := n.spec(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	k, err := (&NewStoredKey{Name: "a", PerMinute: 1, TokensPerMinute: 2, ConcurrentRequests: 3, ConcurrentStreams: 4, BudgetUSD: 5, BudgetTokens: 6, Per: "week"}).spec()
	if err != nil {
		t.Fatal(err)
	}
	if l := k.Limits; l.GetRequestsPerMinute() != 1 || l.GetTokensPerMinute() != 2 || l.GetConcurrentRequests() != 3 || l.GetConcurrentStreams() != 4 ||
		len(k.Budgets) != 2 || k.Budgets[0].GetUsd() != 5 || k.Budgets[1].GetTokens() != 6 || k.Budgets[1].Per != "week" {
		t.Errorf("%v", k)
	}
	if k, err := (&NewStoredKey{Name: "a"}).spec(); err != nil || k.Limits != nil || k.Budgets != nil {
		t.Errorf("%v, %v", k, err)
	}
}

func TestSentence(t *testing.T) {
	plain := errors.New("plain")
	for want, err := range map[string]error{"name: is missing": fault.Invalid("name", "is missing"), "No.": fault.New(fault.InvalidRequest, "No."), "plain": plain} {
		if got := sentence(err); got.Error() != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if sentence(nil) != nil {
		t.Error("an error of nothing")
	}
}
