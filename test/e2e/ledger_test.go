package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/ledger"
	"dragoman/internal/store/sqldb"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// ledgerConfig prices every model differently, so that a charge at the wrong one shows.
const ledgerConfig = `{{providers}}
models:
- {name: a, provider: openai, id: gpt-4.1, price: {input: 3, output: 11}}
- {name: b, provider: anthropic, id: claude-haiku-4-5, price: {input: 5, output: 17}, max_output: 8192}
- {name: unpriced, provider: openai, id: gpt-4.1-mini}
routes:
- {model: first-a, strategy: fallback, candidates: [a, b]}
- {model: first-b, strategy: fallback, candidates: [b, a]}
tenants:
- name: acme
  tags: {env: test}
  teams:
  - name: search
    keys: [{name: ci, hash: "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}]
ledger: {sqlite: "{{dir}}/ledger/ledger.db"}
`

// ledgerAsk sends one request with the key of ledgerConfig and reads its answer, or so much of it.
func ledgerAsk(t *testing.T, g *harness.Gateway, key, schema, model string, stream bool, read int) (status int, out string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+paths[schema], strings.NewReader(body(schema, model, stream)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("authorization", "Bearer "+key)
	resp, err := g.HTTP.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	if read > 0 {
		b := make([]byte, read)
		n, _ := io.ReadFull(resp.Body, b)
		return resp.StatusCode, string(b[:n])
	}
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// usageOf is what the admin port says.
func usageOf(t *testing.T, g *harness.Gateway, query string) *ledger.Usage {
	t.Helper()
	resp, err := g.HTTP.Get(g.Admin + "/usage?since=2h&" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	u := &ledger.Usage{}
	if err := json.Unmarshal(b, u); resp.StatusCode != 200 || err != nil {
		t.Fatalf("%d %s %v", resp.StatusCode, b, err)
	}
	return u
}

// inLedger waits until the ledger has so many requests.
func inLedger(t *testing.T, g *harness.Gateway, n int64) *ledger.Usage {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		u := usageOf(t, g, "by=model,provider")
		if u.Total.Requests >= n || time.Now().After(deadline) {
			return u
		}
	}
}

func ledgerDB(t *testing.T, g *harness.Gateway) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(filepath.Join(g.Dir, "ledger", "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func charges(t *testing.T, db *sqldb.DB) (all []ledger.Charge) {
	t.Helper()
	err := db.Charges(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), func(c *ledger.Charge) error {
		all = append(all, *c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sound checks what a ledger promises of itself.
func sound(t *testing.T, db *sqldb.DB) {
	t.Helper()
	if c, err := db.Verify(t.Context()); err != nil || len(c.Faults) > 0 {
		t.Errorf("the sums: %+v %v", c, err)
	}
	if v, err := ledger.Verify(t.Context(), db, nil); err != nil || len(v.Faults) > 0 {
		t.Errorf("the audit trail: %+v %v", v, err)
	}
}

// TestLedgerAddsUp: many requests of every pair of schemas, whole and streamed, at the same time. The ledger has what the fakes have counted,
// to the token, and what the clients were told.
func TestLedgerAddsUp(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: ledgerConfig})
	const each = 12
	var wait sync.WaitGroup
	var mu sync.Mutex
	input, n := map[string]int64{}, int64(0)
	for _, schema := range schemas {
		for _, model := range []string{"a", "b"} {
			for _, stream := range []bool{false, true} {
				for range each {
					n++
					wait.Go(func() {
						status, out := ledgerAsk(t, g, "x", schema, model, stream, 0)
						if status != 200 {
							t.Errorf("%s of %s: %d %s", schema, model, status, out)
						}
						if stream {
							return
						}
						mu.Lock()
						defer mu.Unlock()
						if schema == "openai" {
							input[model] += gjson.Get(out, "usage.prompt_tokens").Int()
						} else {
							input[model] += gjson.Get(out, "usage.input_tokens").Int()
						}
					})
				}
			}
		}
	}
	wait.Wait()
	u := inLedger(t, g, n)
	want := map[string]int64{"a": g.OpenAI().Counters().Tokens, "b": g.Anthropic().Counters().Tokens}
	prices := map[string][2]int64{"a": {3, 11}, "b": {5, 17}}
	for _, r := range u.Rows {
		model := r.Group[0]
		// Streamed requests had the same input as whole ones.
		if r.Requests != n/2 || r.Errors != 0 || r.Output != want[model] || r.Output == 0 || r.Input != 2*input[model] || r.Input == 0 ||
			int64(r.Cost) != r.Input*prices[model][0]+r.Output*prices[model][1] {
			t.Errorf("%+v, the fake has counted %d, clients were told of %d of input", r, want[model], input[model])
		}
	}
	if len(u.Rows) != 2 || u.Total.Requests != n {
		t.Errorf("%+v", u)
	}
	if byTeam := usageOf(t, g, "by=tenant,team,key&tag=env%3Dtest"); len(byTeam.Rows) != 1 || strings.Join(byTeam.Rows[0].Group, "/") != "acme/search/ci" || byTeam.Total.Cost != u.Total.Cost {
		t.Errorf("%+v", byTeam)
	}
	sound(t, ledgerDB(t, g))
}

// TestLedgerChargesFailedAttempts: an attempt that failed over is in the ledger; one whose provider reported usage is charged for it.
func TestLedgerChargesFailedAttempts(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: ledgerConfig})
	usage := &fakeprovider.Usage{Input: 321, Output: 5}
	// The provider has read the prompt, says how long it is, and fails before its first word.
	g.Anthropic().Script(fakeprovider.Rule{Times: 1, Reply: &fakeprovider.Reply{Blocks: []fakeprovider.Block{{Kind: fakeprovider.TextBlock, Text: "never seen"}}, Usage: usage},
		Fault: &fakeprovider.Fault{Kind: fakeprovider.ErrorEvent, After: 1}})
	if status, out := ledgerAsk(t, g, "x", "openai", "first-b", true, 0); status != 200 || !strings.Contains(out, "[DONE]") {
		t.Fatalf("%d %s", status, out)
	}
	g.OpenAI().Script(fakeprovider.Rule{Times: 1, Fault: &fakeprovider.Fault{Kind: fakeprovider.Status, Status: 503}})
	if status, out := ledgerAsk(t, g, "x", "anthropic", "first-a", false, 0); status != 200 {
		t.Fatalf("%d %s", status, out)
	}
	inLedger(t, g, 2)
	db := ledgerDB(t, g)
	failed := map[string]ledger.Charge{}
	for _, c := range charges(t, db) {
		if !c.Final {
			failed[c.Provider] = c
		} else if c.Outcome != "ok" || c.Attempt != 2 || c.Cost == nil || *c.Cost == 0 {
			t.Errorf("%+v", c)
		}
	}
	billed, free := failed["anthropic"], failed["openai"]
	if billed.Input != 321 || billed.Cost == nil || int64(*billed.Cost) < 321*5 || billed.Attempt != 1 || billed.Model != "b" || billed.Team != "search" {
		t.Errorf("the attempt that was billed: %+v", billed)
	}
	if free.Cost == nil || *free.Cost != 0 || free.Input != 0 || free.Model != "a" {
		t.Errorf("the attempt that was not: %+v", free)
	}
	sound(t, db)
}

// TestC1_a_client_that_disconnects_is_charged_for_what_was_delivered, flagged as an estimate.
func TestC1_a_client_that_disconnects_is_charged_for_what_was_delivered(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: ledgerConfig})
	for _, f := range g.Fakes {
		f.Script(fakeprovider.Rule{Reply: &fakeprovider.Reply{Blocks: []fakeprovider.Block{{Kind: fakeprovider.TextBlock, Text: strings.Repeat("word after word ", 200)}},
			Chunks: 100, Pace: 20 * time.Millisecond}})
	}
	const each = 4
	for _, schema := range schemas {
		for _, model := range []string{"a", "b"} {
			for range each {
				if status, _ := ledgerAsk(t, g, "x", schema, model, true, 1500); status != 200 {
					t.Fatal(status)
				}
			}
		}
	}
	u := inLedger(t, g, 4*each)
	if u.Total.Requests != 4*each || u.Total.Errors != 4*each || u.Total.Estimated != 4*each || u.Total.Cost == 0 {
		t.Errorf("%+v", u.Total)
	}
	db := ledgerDB(t, g)
	for _, c := range charges(t, db) {
		if c.Outcome != "canceled" || !c.Estimated || c.Input == 0 || c.Output < 5 || c.Cost == nil || *c.Cost == 0 {
			t.Errorf("%+v", c)
		}
	}
	sound(t, db)
}

// TestLedgerAfterKill: kill -9 in the middle. What clients got whole is in the ledger to the token; what was under way is there as crashed.
func TestLedgerAfterKill(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: ledgerConfig, Subprocess: true})
	const done = 20
	for i := range done {
		if status, out := ledgerAsk(t, g, "x", schemas[i%2], "a", i%3 == 0, 0); status != 200 {
			t.Fatalf("%d %s", status, out)
		}
	}
	whole := g.OpenAI().Counters().Tokens
	g.OpenAI().Script(fakeprovider.Rule{Reply: &fakeprovider.Reply{Blocks: []fakeprovider.Block{{Kind: fakeprovider.TextBlock, Text: "slow"}}}, Fault: &fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 3 * time.Second}})
	const open = 5
	var wait sync.WaitGroup
	for range open {
		wait.Go(func() { ledgerAsk(t, g, "x", "openai", "a", false, 0) })
	}
	for deadline := time.Now().Add(10 * time.Second); g.OpenAI().Counters().InFlight < open && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
	}
	if err := g.KillDragoman(); err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	if err := g.RestartDragoman(t.Context()); err != nil {
		t.Fatal(err)
	}
	inLedger(t, g, done+open)
	db := ledgerDB(t, g)
	outcomes, output := map[string]int{}, int64(0)
	for _, c := range charges(t, db) {
		outcomes[c.Outcome]++
		if c.Outcome == "ok" {
			output += c.Output
		}
		if c.Outcome == ledger.Crashed && (!c.Estimated || c.Input == 0 || c.Cost == nil || *c.Cost == 0 || c.Tenant != "acme" || c.Model != "a") {
			t.Errorf("%+v", c)
		}
	}
	if outcomes["ok"] != done || outcomes[ledger.Crashed] != open || output != whole {
		t.Errorf("%v, %d tokens of %d", outcomes, output, whole)
	}
	sound(t, db)
}

// TestLedgerUnpricedAndRefused: an unknown price is no zero, and every refusal is in the audit trail.
func TestLedgerUnpricedAndRefused(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: ledgerConfig})
	if status, out := ledgerAsk(t, g, "x", "openai", "unpriced", false, 0); status != 200 {
		t.Fatalf("%d %s", status, out)
	}
	if status, _ := ledgerAsk(t, g, "x", "openai", "no-such-model", false, 0); status != 404 {
		t.Fatal(status)
	}
	for range 30 {
		if status, _ := ledgerAsk(t, g, "wrong", "anthropic", "a", false, 0); status != 401 {
			t.Fatal(status)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, g.Admin+"/cache?all=true", nil)
	if resp, err := g.HTTP.Do(req); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	} else {
		resp.Body.Close()
	}
	u := inLedger(t, g, 2)
	if u.Total.Unpriced != 1 || u.Total.Refused < 1 {
		t.Errorf("%+v", u.Total)
	}
	db := ledgerDB(t, g)
	told := map[string]uint64{}
	if err := db.Entries(t.Context(), func(a *ledger.Entry) error {
		told[a.Action+" "+a.Outcome] += max(1, a.Count)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if told["request not_found"] != 1 || told["cache.purge ok"] != 1 || told["request unauthenticated"] < 10 {
		t.Errorf("%v", told)
	}
	for deadline := time.Now().Add(10 * time.Second); told["request unauthenticated"] != 30 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		clear(told)
		_ = db.Entries(t.Context(), func(a *ledger.Entry) error { told[a.Action+" "+a.Outcome] += max(1, a.Count); return nil })
	}
	if told["request unauthenticated"] != 30 {
		t.Errorf("%v", told)
	}
	var out bytes.Buffer
	for _, q := range []string{"by=colour", "since=yesterday", "where=team", "format=xml", "limit=0"} {
		resp, err := g.HTTP.Get(g.Admin + "/usage?" + q)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 400 {
			fmt.Fprintln(&out, q, resp.StatusCode)
		}
		resp.Body.Close()
	}
	if out.Len() > 0 {
		t.Error(out.String())
	}
	sound(t, db)
}
