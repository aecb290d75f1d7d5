package app

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragoman/internal/admin/access"
	"dragoman/internal/admin/api"
	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/internal/ledger/wal"
	"dragoman/internal/store/sqldb"
	"dragoman/internal/store/storetest"
	"dragoman/processor/account"
)

// ledgerFile makes a ledger with some records, and a configuration that names it.
func ledgerFile(t *testing.T) (o Options, out *bytes.Buffer, b *storetest.Book) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	db, err := sqldb.OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b = storetest.NewBook(1)
	now := time.Now().Truncate(time.Hour)
	b.Fill(300, now.AddDate(0, 0, -5), now)
	b.Records[0].Tenant, b.Records[0].Key = "=cmd()", "\x1b[31mred"
	if err := db.Apply(t.Context(), b.Batch("w", b.Records)); err != nil {
		t.Fatal(err)
	}
	entries, _ := storetest.Chain("w", 5, ledger.Head{}, now)
	if err := db.Apply(t.Context(), &ledger.Batch{Writer: "chain", First: 1, Through: 5, Entries: entries, Received: now}); err != nil {
		t.Fatal(err)
	}
	out = &bytes.Buffer{}
	config := file(t, "providers: [{name: x, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\nledger: {sqlite: "+path+"}\n")
	return Options{ConfigFile: config, LookupEnv: env(), Stdout: out}, out, b
}

func everybody(*account.Record, string, string, time.Time) bool { return true }

func TestUsageCommand(t *testing.T) {
	o, out, b := ledgerFile(t)
	total := storetest.Sum(b.Records, everybody)
	for _, c := range []struct {
		q    UsageQuestion
		want []string
	}{
		{UsageQuestion{By: []string{"tenant"}}, []string{"tenant", "acme", "müller", "cost USD", "total", usd(int64(total.Cost)), thousands(total.Requests), "have no known price"}},
		{UsageQuestion{}, []string{"all", thousands(total.Output)}},
		{UsageQuestion{By: []string{"key"}}, []string{"?[31mred"}},
		{UsageQuestion{By: []string{"team", "model"}, Limit: 2}, []string{"more groups"}},
		{UsageQuestion{By: []string{"day"}, Format: "chart"}, []string{"cost in USD by day", "█"}},
		{UsageQuestion{By: []string{"tenant"}, Format: "csv"}, []string{"tenant,requests,", "\n'=cmd(),1,"}},
		{UsageQuestion{Where: []string{"tenant=acme", "tenant=globex"}, Format: "json"}, []string{`"rows": [`}},
	} {
		out.Reset()
		if err := Usage(t.Context(), o, c.q); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%+v: no %q in\n%s", c.q, want, out)
			}
		}
		if strings.ContainsRune(out.String(), 0x1b) && c.q.Format == "" {
			t.Errorf("a control character reaches the terminal:\n%q", out)
		}
	}
	for _, q := range []UsageQuestion{{By: []string{"colour"}}, {Since: "long ago"}, {Where: []string{"tenant"}}, {Since: "2026-13-01"}, {Since: "-3d"}} {
		if err := Usage(t.Context(), o, q); err == nil {
			t.Errorf("%+v is answered", q)
		}
	}
}

func TestExportCommand(t *testing.T) {
	o, out, b := ledgerFile(t)
	want := 0
	for _, r := range b.Records {
		want += 1 + len(r.Failed)
	}
	if err := ExportLedger(t.Context(), o, "30d", "", "json"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	unknown := 0
	for _, line := range lines {
		var c ledger.Charge
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if c.Cost == nil {
			unknown++
		}
	}
	if len(lines) != want || unknown == 0 {
		t.Errorf("%d lines, want %d; %d of unknown cost", len(lines), want, unknown)
	}
	out.Reset()
	if err := ExportLedger(t.Context(), o, "30d", "", "csv"); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(out).ReadAll()
	if err != nil || len(rows) != want+1 || len(rows[0]) != len(exportColumns) {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestVerifyCommands(t *testing.T) {
	o, out, _ := ledgerFile(t)
	if err := VerifyLedger(t.Context(), o, false); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if err := RebuildLedger(t.Context(), o); err != nil {
		t.Error(err)
	}
	if err := VerifyAudit(t.Context(), o, nil, true); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	out.Reset()
	if err := VerifyAudit(t.Context(), o, []string{"w:9:00"}, false); err == nil || !strings.Contains(out.String(), "missing") {
		t.Errorf("%v\n%s", err, out)
	}
	none := Options{ConfigFile: file(t, "providers: [{name: x, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\nledger: {enabled: false}\n"), LookupEnv: env(), Stdout: out}
	if err := VerifyLedger(t.Context(), none, false); err == nil {
		t.Error("without a ledger")
	}
}

func TestUsageByTheAdminPort(t *testing.T) {
	o, out, b := ledgerFile(t)
	settings, err := ledgerSettings(o)
	if err != nil {
		t.Fatal(err)
	}
	k, err := openBook(settings, ledger.Options{WAL: wal.Options{Dir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	defer k.db.Close()
	defer k.Close(t.Context())
	admin := &access.Identity{Kind: access.KindLocal, Grants: []config.RoleGrant{{Role: config.RoleAdmin}}}
	answers := usageHandler(api.New(api.Options{Usage: k.usage, Audit: &access.Auditor{Now: time.Now, Write: func(access.Event) {}}}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers.ServeHTTP(w, r.WithContext(access.WithCaller(r.Context(), &access.Caller{Identity: admin})))
	}))
	defer server.Close()
	if err := Usage(t.Context(), Options{Stdout: out}, UsageQuestion{By: []string{"tenant"}, From: server.URL, Where: []string{"tenant=acme"}, Limit: 5}); err != nil {
		t.Fatal(err)
	}
	want := storetest.Sum(b.Records, func(r *account.Record, _, _ string, _ time.Time) bool { return r.Tenant == "acme" })
	if !strings.Contains(out.String(), "acme") || !strings.Contains(out.String(), usd(int64(want.Cost))) {
		t.Errorf("%s, want %s", out, usd(int64(want.Cost)))
	}
	if err := Usage(t.Context(), Options{Stdout: out}, UsageQuestion{By: []string{"colour"}, From: server.URL}); err == nil {
		t.Error("a wrong question")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for n, want := range map[int64]string{0: "0.000000", 1: "0.000001", 1_234_567: "1.234567", 1_234_567_890: "1,234.56"} {
		if got := usd(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	if b := bar(40, 40); len([]rune(b)) != 40 || bar(1, 1_000_000) == "" || bar(0, 5) != "" {
		t.Errorf("%q", b)
	}
}

// TestTheLedgerIsOffUnlessAsked: `serve` keeps none by itself, and a configured one that cannot be opened keeps the gateway from starting.
func TestTheLedgerIsOffUnlessAsked(t *testing.T) {
	state := t.TempDir()
	a, _ := serve(t, Options{LookupEnv: env("HOME", state)})
	if a.book != nil {
		t.Error("serve keeps a ledger that nobody asked for")
	}
	text := "providers: [{name: x, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\nledger: {sqlite: " + filepath.Join(state, "l.db") + "}\n"
	a, _ = serve(t, Options{ConfigFile: file(t, text), LookupEnv: env()})
	if a.book == nil || a.status().Ledger == nil {
		t.Fatal("no ledger")
	}
	if _, err := New(Options{ConfigFile: file(t, text), LookupEnv: env()}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two processes keep one log: %v", err)
	}
	bad := strings.Replace(text, filepath.Join(state, "l.db"), "/dev/null/x/l.db", 1)
	if _, err := New(Options{ConfigFile: file(t, bad), LookupEnv: env()}); err == nil {
		t.Error("a ledger that cannot be kept")
	}
}

// TestRunKeepsALedger: in the state folder for real providers, and nowhere that outlives it for the demo.
func TestRunKeepsALedger(t *testing.T) {
	state := t.TempDir()
	a, err := New(Options{Envoy: true, ConfigFile: file(t, "providers: [{name: x, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\n"), LookupEnv: env("HOME", state)})
	if err != nil {
		t.Fatal(err)
	}
	if a.book == nil || !exists(filepath.Join(state, ".local/state/dragoman/ledger.db")) {
		t.Error("run keeps no ledger in the state folder")
	}
	second, err := New(Options{Envoy: true, ConfigFile: file(t, "providers: [{name: x, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\n"), LookupEnv: env("HOME", state)})
	if err != nil || second.book != nil {
		t.Errorf("a second run beside it: %v", err)
	}
	for _, x := range []*App{a, second} {
		x.closeBook()
		x.abandon()
	}
	home := t.TempDir()
	demo, err := New(Options{Envoy: true, LookupEnv: env("HOME", home)})
	if err != nil {
		t.Fatal(err)
	}
	if demo.book == nil || exists(filepath.Join(home, ".local")) {
		t.Errorf("the demo's ledger: %v", demo.book)
	}
	dir := demo.runDir
	demo.closeBook()
	demo.abandon()
	if exists(dir) {
		t.Error("the demo leaves its folder")
	}
}
