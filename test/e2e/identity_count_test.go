package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
	"dragoman/test/sdk"
)

// TestUsersOfTokensCount: whoever comes with a token has the limits, budgets, rules, cache and ledger rows of a key's caller.
func TestUsersOfTokensCount(t *testing.T) {
	i := newIssuer(t, idp)
	text := fmt.Sprintf(`{{providers}}
models: [{name: priced, provider: openai, id: gpt-4.1, price: {input: 0, output: 1}, max_output: 32768}]
tenants:
- name: acme
  tags: {env: test}
  each_user: {limits: {requests_per_minute: 3}}
  teams: [{name: search, each_user: {budgets: [{name: own, usd: 0.001, per: month}]}}]
- {name: globex}
cache: {exact: {}}
rules: [{name: robots, when: 'tenant == "globex" && key == "idp"', refuse: {message: "no robots"}}]
identity: {jwt: [{name: idp, issuer: %q, jwks_file: %q, claims: {tenant: org, team: team}, models: [priced]}]}
ledger: {sqlite: "{{dir}}/ledger/ledger.db"}
`, idp, keysFile(t, i))
	g := harness.Start(t, harness.Options{Config: text})
	answering(t, g, 700, nil)
	n := 0
	ask := func(c claims) *answer {
		n++
		b := strings.Replace(budgetBody("priced", 700, false), `"go"`, fmt.Sprintf(`"go %d"`, n), 1)
		a := post(t, g, paths["openai"], b, "authorization", "Bearer "+i.token(c))
		settled(t, g)
		return a
	}
	// Limits of each user: ada's do not touch bo's.
	for k := range 4 {
		if a := ask(claims{"org": "acme"}); (a.status == 429) != (k == 3) || k == 3 && !strings.Contains(string(a.body), "user acme/@ada") {
			t.Errorf("ada %d: %v", k, a)
		}
	}
	if a := ask(claims{"org": "acme", "sub": "bo"}); a.status != 200 {
		t.Errorf("bo: %v", a)
	}
	// Budgets: of 0.001 USD one answer takes 0.0007.
	for k := range 2 {
		if a := ask(claims{"org": "acme", "team": "search"}); (a.status == 402) != (k == 1) {
			t.Errorf("ada of search %d: %v", k, a)
		}
	}
	if a := ask(claims{"org": "acme", "team": "search", "sub": "bo"}); a.status != 200 {
		t.Errorf("bo of search: %v", a)
	}
	if a := ask(claims{"org": "globex"}); a.status != 403 || !strings.Contains(string(a.body), "no robots") {
		t.Errorf("a rule about the token's name: %v", a)
	}
	// Answers of one tenant are not another's, but a tenant's own are.
	same := func(c claims) *answer {
		return post(t, g, paths["openai"], budgetBody("priced", 100, false), "authorization", "Bearer "+i.token(c))
	}
	if a := same(claims{"org": "acme", "sub": "cy"}); a.status != 200 || a.header.Get("x-dragoman-cache") != "miss" {
		t.Errorf("%v", a)
	}
	if a := same(claims{"org": "acme", "sub": "di"}); a.status != 200 || a.header.Get("x-dragoman-cache") != "hit" {
		t.Errorf("%v", a)
	}
	list := do(t, g, http.MethodGet, "/v1/models", nil, "authorization", "Bearer "+i.token(claims{"org": "acme"}))
	if list.status != 200 || len(gjson.GetBytes(list.body, "data").Array()) != 1 || gjson.GetBytes(list.body, "data.0.id").String() != "priced" {
		t.Errorf("models: %v", list)
	}
	inLedger(t, g, 8)
	for _, c := range charges(t, ledgerDB(t, g)) {
		if c.Key != "idp" || c.Tenant == "" || c.User == "" || c.Tenant == "acme" && !slices.Contains(c.Tags, "env=test") {
			t.Errorf("%+v", c)
		}
	}
	u := usageOf(t, g, "by=tenant,team,user,key")
	for _, want := range []string{"acme||ada|idp", "acme||bo|idp", "acme|search|ada|idp", "acme|search|bo|idp"} {
		found := false
		for _, r := range u.Rows {
			found = found || strings.Join(r.Group, "|") == want
		}
		if !found {
			t.Errorf("the ledger knows nothing of %s: %+v", want, u.Rows)
		}
	}
	// A restart forgets no user's budget: the ledger has it.
	must(t, g.RestartDragoman(t.Context()))
	ask(claims{"org": "acme", "team": "search"}) // who calls first is compared with the ledger
	eventuallyStatus(t, "a budget that was spent before the restart", 402, func() *answer { return ask(claims{"org": "acme", "team": "search"}) })
	if l := levelOf(t, g, "user:acme/search/@ada", "own"); l.limit != 0.001 {
		t.Errorf("/status: %+v", l)
	}
}

// TestTokensServeEveryEndpoint: files, batches, embeddings, audio and images as with a key, by the official SDK.
func TestTokensServeEveryEndpoint(t *testing.T) {
	i := newIssuer(t, idp)
	g := harness.Start(t, harness.Options{
		Fakes:  []fakeprovider.Options{{Schema: fakeprovider.OpenAI}, {Schema: fakeprovider.OpenAI, Name: "second", Keys: []string{"sk-fake-second-0123456789"}}, {Schema: fakeprovider.Anthropic}},
		Config: passConfig + fmt.Sprintf("identity: {jwt: [{issuer: %q, jwks_file: %q, caller: {tenant: acme}}]}\n", idp, keysFile(t, i)),
		Env:    map[string]string{"OBJECT_SECRET": "a secret that is long enough"},
	})
	token := i.token(nil)
	for _, c := range sdk.PassCases() {
		t.Run(c.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := c.Run(ctx, g.Target(token, "")); err != nil {
				t.Error(err)
			}
		})
	}
	for _, f := range g.Fakes {
		if where := f.Saw(token); len(where) > 0 {
			t.Errorf("a provider saw the token in %v", where)
		}
	}
}

// TestLongStreamsOutliveTheirToken: it is looked at when a request begins.
func TestLongStreamsOutliveTheirToken(t *testing.T) {
	i := newIssuer(t, idp)
	g := harness.Start(t, harness.Options{Config: tokensConfig(keysFile(t, i), keysFile(t, i))})
	r := fakeprovider.Text(words(8))
	r.Pace = 400 * time.Millisecond
	g.OpenAI().Script(fakeprovider.Rule{Reply: r})
	token := i.token(claims{"aud": "gateway", "exp": time.Now().Add(-59 * time.Second).Unix()}) // and a second of skew left
	a := post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", true), "authorization", "Bearer "+token)
	if a.status != 200 || !strings.Contains(string(a.body), "[DONE]") {
		t.Errorf("%v", a)
	}
	eventuallyStatus(t, "it is over", 401, func() *answer {
		return post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "authorization", "Bearer "+token)
	})
}
