package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
	"dragoman/test/redisserver"
)

// stranger is a tenant of the isolation test: its secret is in what it sends, and may come back to nobody else.
type stranger struct {
	tenant, key, secret string
	perMinute           int // its own number, so that another's shows
}

var strangers = []*stranger{
	{"acme", "dgm_isolation_acme", "kestrel-acme-4f1c", 1_000_001},
	{"beta", "dgm_isolation_beta", "kestrel-beta-9d27", 2_000_002},
	{"gamma", "dgm_isolation_gamma", "kestrel-gamma-55e0", 3_000_003},
}

var isolationFakes = []fakeprovider.Options{{Schema: fakeprovider.OpenAI}, {Schema: fakeprovider.Anthropic}, {Schema: fakeprovider.Gemini}}

func isolationConfig(ledgerFile, more string) string {
	c := "{{providers}}\n" + more + "\ncache: {exact: {ttl: 1h}}\nledger: {sqlite: " + strconv.Quote(ledgerFile) + "}\ntenants:\n"
	for _, s := range strangers {
		c += fmt.Sprintf("- name: %s\n  limits: {requests_per_minute: %d}\n  budgets: [{tokens: 100000000, per: month}]\n  tags: {owner: %s}\n  keys: [{name: k, hash: %q}]\n",
			s.tenant, s.perMinute, s.tenant, config.HashKey(s.key))
	}
	return c
}

// strangersAtOnce mixes the requests of several tenants and looks whether anything of one shows to another.
type strangersAtOnce struct {
	t        *testing.T
	gateways []*harness.Gateway
	models   []string

	mu    sync.Mutex
	asked map[string]int       // tenant, model and text → how often it was asked
	turns map[string][]string  // tenant → ids of responses
	files map[string][]string  // tenant → ids of files
	ids   map[string]*stranger // of requests
	sent  map[string]int       // tenant → requests that a model was asked in
}

// TestTenantsAreIsolated: requests of several tenants at once, each with something of its own in it, some with ids of another's things.
func TestTenantsAreIsolated(t *testing.T) {
	t.Run("one gateway", func(t *testing.T) {
		g := harness.Start(t, harness.Options{Config: isolationConfig("{{dir}}/ledger.db", ""), Fakes: isolationFakes})
		isolation(t, 1, g)
	})
	t.Run("two replicas on Redis", func(t *testing.T) {
		server := redisserver.Start(t)
		store := fmt.Sprintf("\nstore: {redis: {address: %q}}\nobjects: {secret: {env: OBJECTS}}", server.Addr)
		file := t.TempDir() + "/ledger.db"
		var gateways []*harness.Gateway
		for i := range 2 {
			c := strings.Replace(isolationConfig(file, store), "ledger: {sqlite", fmt.Sprintf("ledger: {log: {path: %q}, sqlite", fmt.Sprintf("%s.log%d", file, i)), 1)
			g, err := harness.New(t.Context(), harness.Options{Config: c, Fakes: isolationFakes, Env: map[string]string{"OBJECTS": "0123456789abcdef0123456789abcdef"}})
			must(t, err)
			t.Cleanup(func() { must(t, g.Close()) })
			gateways = append(gateways, g)
		}
		isolation(t, 2, gateways...)
		db := goredis.NewClient(&goredis.Options{Addr: server.Addr})
		defer db.Close()
		keys, err := db.Keys(t.Context(), "*").Result()
		must(t, err)
		for _, k := range keys {
			for _, s := range strangers {
				if strings.Contains(k, s.secret) || strings.Contains(k, s.key) {
					t.Errorf("the name of a key in Redis holds what %s sent: %s", s.tenant, k)
				}
			}
		}
		if len(keys) < 10 {
			t.Errorf("only %d keys in Redis", len(keys))
		}
	})
}

func isolation(t *testing.T, seed uint64, gateways ...*harness.Gateway) {
	m := &strangersAtOnce{t: t, gateways: gateways, asked: map[string]int{}, turns: map[string][]string{}, files: map[string][]string{}, ids: map[string]*stranger{}, sent: map[string]int{}}
	for _, f := range isolationFakes {
		m.models = append(m.models, string(f.Schema)+"/"+gateways[0].Fakes[string(f.Schema)].Model())
	}
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(worker)))
			for range 60 {
				m.step(r)
			}
		})
	}
	wg.Wait()
	for _, g := range gateways {
		settled(t, g)
	}
	m.checkLogs()
	m.checkBooks()
}

func (m *strangersAtOnce) step(r *rand.Rand) {
	g, s := m.gateways[r.IntN(len(m.gateways))], strangers[r.IntN(len(strangers))]
	switch r.IntN(8) {
	case 0, 1, 2:
		m.chat(g, s, r)
	case 3:
		m.respond(g, s, "", "I am "+s.secret)
	case 4:
		m.turn(g, s, r)
	case 5:
		m.upload(g, s)
	case 6:
		m.file(g, s, r)
	default:
		m.list(g, s)
	}
}

// chat asks for something of the tenant's own, or what all of them ask.
func (m *strangersAtOnce) chat(g *harness.Gateway, s *stranger, r *rand.Rand) {
	model, text := m.models[r.IntN(len(m.models))], fmt.Sprintf("what everybody asks, %d", r.IntN(4))
	if r.IntN(2) == 0 {
		text = fmt.Sprintf("what only %s asks, %d", s.secret, r.IntN(4))
	}
	client := []string{"openai", "anthropic"}[r.IntN(2)]
	key := s.tenant + "\n" + model + "\n" + text
	m.mu.Lock()
	m.asked[key]++
	m.sent[s.tenant]++
	m.mu.Unlock()
	a := post(m.t, g, paths[client], chatBody(model, text, r.IntN(2) == 0), "authorization", "Bearer "+s.key)
	m.look(s, a)
	if a.status != 200 || !strings.Contains(textOf(client, a.body), "echo: "+text) {
		m.t.Errorf("%s asks %q: %s", s.tenant, text, a)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if from := a.header.Get("x-dragoman-cache"); from != "miss" && m.asked[key] < 2 {
		m.t.Errorf("%s has the answer (%s) to a question that only another tenant has asked: %s", s.tenant, from, a)
	}
}

func (m *strangersAtOnce) respond(g *harness.Gateway, s *stranger, previous, text string) *answer {
	m.mu.Lock()
	m.sent[s.tenant]++
	m.mu.Unlock()
	a := respond(m.t, g, s.key, m.models[1], previous, text)
	m.look(s, a)
	if id := gjson.GetBytes(a.body, "id").Str; a.status == 200 {
		m.mu.Lock()
		m.turns[s.tenant] = append(m.turns[s.tenant], id)
		m.mu.Unlock()
	}
	return a
}

// pick is something that one of the tenants made; nil owner where there is nothing.
func (m *strangersAtOnce) pick(r *rand.Rand, made map[string][]string) (owner *stranger, id string) {
	owner = strangers[r.IntN(len(strangers))]
	m.mu.Lock()
	defer m.mu.Unlock()
	if list := made[owner.tenant]; len(list) > 0 {
		return owner, list[r.IntN(len(list))]
	}
	return nil, ""
}

// turn reads, lists, or continues a response of anybody's.
func (m *strangersAtOnce) turn(g *harness.Gateway, s *stranger, r *rand.Rand) {
	owner, id := m.pick(r, m.turns)
	if owner == nil {
		return
	}
	var a *answer
	switch r.IntN(3) {
	case 0:
		a = do(m.t, g, "GET", "/v1/responses/"+id, nil, "Authorization", "Bearer "+s.key)
	case 1:
		a = do(m.t, g, "GET", "/v1/responses/"+id+"/input_items", nil, "Authorization", "Bearer "+s.key)
	default:
		a = m.respond(g, s, id, "and now?")
	}
	m.look(s, a)
	switch {
	case owner != s && a.status == 200:
		m.t.Errorf("%s has a response of %s: %s", s.tenant, owner.tenant, a)
	case owner == s && a.status != 200 && !m.away():
		m.t.Errorf("%s asks for a response of its own: %s", s.tenant, a)
	}
}

// away says whether a Redis that was too busy for a moment may have lost a turn.
func (m *strangersAtOnce) away() bool {
	for _, g := range m.gateways {
		if len(m.gateways) > 1 && (strings.Contains(g.Log(), "Redis does not answer") || metric(m.t, g, "dragoman_turns_lost_total") > 0) {
			return true
		}
	}
	return false
}

func (m *strangersAtOnce) upload(g *harness.Gateway, s *stranger) {
	contentType, body := form([]byte("%PDF-1.4 "+s.secret), []string{"purpose=user_data"})
	a := do(m.t, g, "POST", "/v1/files", strings.NewReader(body), "Authorization", "Bearer "+s.key, "Content-Type", contentType)
	m.look(s, a)
	if a.status != 200 {
		m.t.Errorf("%s uploads: %s", s.tenant, a)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[s.tenant] = append(m.files[s.tenant], gjson.GetBytes(a.body, "id").Str)
}

// file reads a file of anybody's.
func (m *strangersAtOnce) file(g *harness.Gateway, s *stranger, r *rand.Rand) {
	owner, id := m.pick(r, m.files)
	if owner == nil || len(m.gateways) > 1 { // each gateway of the test has providers of its own
		return
	}
	a := do(m.t, g, "GET", "/v1/files/"+id+[]string{"", "/content"}[r.IntN(2)], nil, "Authorization", "Bearer "+s.key)
	m.look(s, a)
	if ok := a.status == 200; ok != (owner == s) {
		m.t.Errorf("%s asks for a file of %s: %s", s.tenant, owner.tenant, a)
	}
}

// list lists files: the tenant's own alone.
func (m *strangersAtOnce) list(g *harness.Gateway, s *stranger) {
	a := do(m.t, g, "GET", "/v1/files?limit=100", nil, "Authorization", "Bearer "+s.key)
	m.look(s, a)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range gjson.GetBytes(a.body, "data.#.id").Array() {
		for owner, list := range m.files {
			if owner != s.tenant && slices.Contains(list, f.Str) {
				m.t.Errorf("%s sees a file of %s in its list: %s", s.tenant, owner, a)
			}
		}
	}
}

// look looks for another's things in an answer.
func (m *strangersAtOnce) look(s *stranger, a *answer) {
	if a.err != nil {
		m.t.Errorf("%s: %v", s.tenant, a.err)
		return
	}
	for _, other := range strangers {
		if other == s {
			continue
		}
		if bytes.Contains(a.body, []byte(other.secret)) || strings.Contains(fmt.Sprint(a.header), other.secret) {
			m.t.Errorf("%s got what %s had sent: %s", s.tenant, other.tenant, a)
		}
	}
	if got := a.header.Get("x-ratelimit-limit-requests"); got != "" && got != strconv.Itoa(s.perMinute) {
		m.t.Errorf("%s is told of another's limit, %s", s.tenant, got)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if id := a.header.Get("x-request-id"); id != "" {
		m.ids[id] = s
	}
}

// checkLogs: a request's line names its own tenant, and no line or metric holds what was sent.
func (m *strangersAtOnce) checkLogs() {
	named := 0
	for _, g := range m.gateways {
		ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Second)
		metrics, err := g.Metrics(ctx)
		cancel()
		must(m.t, err)
		for what, text := range map[string]string{"log": g.Log(), "Envoy's log": g.EnvoyLog(), "metrics": metrics} {
			for _, s := range strangers {
				if strings.Contains(text, s.secret) || strings.Contains(text, s.key) {
					m.t.Errorf("the %s holds what %s sent", what, s.tenant)
				}
			}
		}
		for line := range strings.Lines(g.Log()) {
			fields := map[string]string{}
			for _, f := range strings.Fields(line) {
				name, value, _ := strings.Cut(f, "=")
				fields[name] = value
			}
			if s := m.ids[fields["id"]]; s != nil {
				named++
				if got, told := fields["tenant"]; told && got != s.tenant {
					m.t.Errorf("a line about a request of %s names another tenant: %s", s.tenant, line)
				}
			}
		}
	}
	if len(m.ids) < 100 {
		m.t.Errorf("only %d ids of requests", len(m.ids))
	}
	m.t.Logf("%d requests, %d of the log's lines name one", len(m.ids), named)
}

// checkBooks: ledger and counters of a tenant hold its own requests, all of them and no other's.
func (m *strangersAtOnce) checkBooks() {
	var wrong string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) { // replicas write one after the other
		if wrong = m.books(); wrong == "" {
			return
		}
	}
	m.t.Error(wrong)
}

// books says what is wrong with them.
func (m *strangersAtOnce) books() string {
	g := m.gateways[0]
	u := usageOf(m.t, g, "by=tenant,tag")
	for _, s := range strangers {
		var rows []ledger.Row
		for _, r := range u.Rows {
			if r.Group[0] == s.tenant || r.Group[1] == "owner="+s.tenant {
				rows = append(rows, r)
			}
		}
		if len(rows) != 1 || rows[0].Group[0] != s.tenant || rows[0].Group[1] != "owner="+s.tenant || rows[0].Requests < int64(m.sent[s.tenant]) {
			return fmt.Sprintf("%s asked models %d times: rows %+v", s.tenant, m.sent[s.tenant], rows)
		}
		if tokens, spent := rows[0].Input+rows[0].CacheRead+rows[0].CacheWrite+rows[0].Output, m.spent(g, s); spent != tokens || tokens == 0 {
			return fmt.Sprintf("%s has spent %d tokens by its budget and %d by the ledger", s.tenant, spent, tokens)
		}
	}
	return ""
}

// spent is what the budget of a tenant says.
func (m *strangersAtOnce) spent(g *harness.Gateway, s *stranger) int64 {
	status, err := g.Status(m.t.Context())
	must(m.t, err)
	return gjson.GetBytes(status, `limits.#(level=="tenant:`+s.tenant+`")#|#(unit=="tokens").spent`).Int()
}
