package api

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
	"dragoman/internal/keystore"
	"dragoman/internal/ledger"
	"dragoman/internal/store/sqldb"
	"dragoman/processor/cache"
	"dragoman/processor/limit"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

const hierarchyYAML = `
providers: [{name: local, schema: openai, endpoint: "http://127.0.0.1:1", models: [m]}]
identity: {keys: {}}
organisations: [{name: group, limits: {requests_per_minute: 9}}]
tenants:
- {name: acme, organisation: group, budgets: [{usd: 5, per: month}], teams: [{name: search, limits: {requests_per_minute: 7}}, {name: ads}]}
- {name: globex, teams: [{name: search}]}
admin: {tokens: [{name: file, role: viewer, tenant: acme, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000001"}]}
`

// tier is a cache that notes what it is told.
type tier struct {
	mu     sync.Mutex
	purged []cache.Filter
	err    error
}

func (t *tier) Purge(_ context.Context, f cache.Filter) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.purged = append(t.purged, f)
	return 3, t.err
}

func (t *tier) Feedback(_ context.Context, key string, _ bool) (bool, error) {
	return key == "entry", t.err
}

// world is a server with a real database and key store.
type world struct {
	*Server
	client adminv1.AdminClient
	db     *sqldb.DB
	snap   *config.Snapshot
	tier   *tier
	now    time.Time
	asked  Question
	trail  *ledger.PageFilter
	n      int

	mu     sync.Mutex
	events []access.Event
}

func (w *world) noted() []access.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(path, []byte(hierarchyYAML+"ledger: {sqlite: "+filepath.Join(dir, "l.db")+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	snap, err := config.Load(config.Options{Path: path, Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.OpenSQLite(filepath.Join(dir, "l.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &world{db: db, snap: snap, tier: &tier{}, now: time.Now()}
	current := func() *config.Snapshot { return w.snap }
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	guard := access.NewGuard(access.Options{Admin: func() *config.Admin { return w.snap.Admin }, Loopback: true, Store: db, Now: w.clock, Log: quiet})
	keys := keystore.New(keystore.Options{Database: db, Secret: strings.Repeat("s", 40), Config: current, Now: w.clock})
	w.Server = New(Options{Guard: guard, Config: current, Tokens: db, Keys: keys, Now: w.clock, Random: rand.Reader, Log: quiet,
		Levels: w.levels, Cache: func() []cache.Admin { return []cache.Admin{w.tier} }, Status: func() any { return map[string]int{"in_flight": 3} },
		Reload: func() (string, error) { return "v2", nil }, Audit: &access.Auditor{Now: w.clock, Write: w.note},
		Usage: func(_ context.Context, q Question) (*ledger.Usage, error) {
			w.asked = q
			return &ledger.Usage{By: q.By, Rows: []ledger.Row{{Group: []string{"x"}, Requests: 2}}, Total: ledger.Row{Requests: 2}}, nil
		},
		AuditPage: func(ctx context.Context, f ledger.PageFilter) ([]*ledger.Entry, error) {
			w.trail = &f
			return db.AuditPage(ctx, f)
		},
		Verify: func(ctx context.Context, expected []string) (*ledger.Verdict, error) {
			return ledger.Verify(ctx, db, expected)
		},
	})
	w.client = w.Client()
	return w
}

func (w *world) clock() time.Time { return w.now }

func (w *world) note(e access.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *world) levels(context.Context) ([]limit.Level, error) {
	var out []limit.Level
	for _, l := range []string{"global", "organisation:group", "tenant:acme", "team:acme/search", "team:globex/search", "user:acme/search/@ada", "key:acme/search/ci", "key:acme/ci", "nonsense"} {
		out = append(out, limit.Level{Level: l, Name: "requests per minute", Mode: "hard", Unit: "requests", Limit: 7, Spent: 2})
	}
	return out, nil
}

// as is a context of a caller with grants: role, role:tenant, role:tenant/team.
func as(grants ...string) context.Context {
	id := &access.Identity{Kind: access.KindToken, Name: "test"}
	for _, g := range grants {
		role, place, _ := strings.Cut(g, ":")
		tenant, team, _ := strings.Cut(place, "/")
		id.Grants = append(id.Grants, config.RoleGrant{Role: config.Role(role), Tenant: tenant, Team: team})
	}
	if len(grants) > 1 {
		id.Kind, id.Name = access.KindOIDC, "ada@example.com"
	}
	return access.WithCaller(context.Background(), &access.Caller{Identity: id, Address: "127.0.0.1:1"})
}

func (w *world) makeKey(t testing.TB, tenant, team, name string) *adminv1.CreateKeyResponse {
	t.Helper()
	k, err := w.client.CreateKey(as("admin"), &adminv1.CreateKeyRequest{Tenant: tenant, Team: team, Spec: &adminv1.KeySpec{Name: name}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (w *world) makeToken(t testing.TB, name, role, tenant, team string) *adminv1.CreateTokenResponse {
	t.Helper()
	w.now = w.now.Add(time.Millisecond) // lists are in the order of time
	k, err := w.client.CreateToken(as("admin"), &adminv1.CreateTokenRequest{Name: name, Grant: &adminv1.Grant{Role: role, Tenant: tenant, Team: team}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func wantCode(t testing.TB, what string, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

func TestKeysOfAMember(t *testing.T) {
	w := newWorld(t)
	me := as("member:acme/search")
	made, err := w.client.CreateKey(me, &adminv1.CreateKeyRequest{Tenant: "acme", Team: "search", User: "ada", Spec: &adminv1.KeySpec{Name: "laptop", Models: []string{"m"}}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made.Secret, "dgm_") || made.Key.CreatedBy != "token:acme/search/test" || made.Key.User != "ada" || made.Key.Spec.Models[0] != "m" {
		t.Errorf("made %v", made)
	}
	w.makeKey(t, "acme", "ads", "other")
	w.makeKey(t, "globex", "", "foreign")
	list, err := w.client.ListKeys(me, &adminv1.ListKeysRequest{})
	if err != nil || len(list.Keys) != 1 || list.Keys[0].Id != made.Key.Id {
		t.Errorf("a member sees its team's keys and no other: %v %v", list, err)
	}
	rotated, err := w.client.RotateKey(me, &adminv1.RotateKeyRequest{Id: made.Key.Id, Overlap: durationpb.New(time.Hour)})
	if err != nil || rotated.Secret == made.Secret || rotated.Key.Overlap == nil {
		t.Errorf("rotated %v %v", rotated, err)
	}
	if revoked, err := w.client.RevokeKey(me, &adminv1.RevokeKeyRequest{Id: made.Key.Id}); err != nil || revoked.Key.Revoked == nil {
		t.Errorf("revoked %v %v", revoked, err)
	}
	if list, _ := w.client.ListKeys(me, &adminv1.ListKeysRequest{}); len(list.GetKeys()) != 0 {
		t.Errorf("a revoked key is listed: %v", list)
	}
	if list, _ := w.client.ListKeys(me, &adminv1.ListKeysRequest{Revoked: true}); len(list.GetKeys()) != 1 {
		t.Errorf("a revoked key is not listed when asked for: %v", list)
	}
	var actions []string
	for _, e := range w.noted() {
		actions = append(actions, e.Action+" "+e.Subject+" "+e.Who+" "+e.Tenant+" "+e.Key+" "+e.Outcome)
		if strings.Contains(e.Subject+e.Who, made.Secret) || strings.Contains(e.Subject, rotated.Secret) {
			t.Error("the trail has a secret")
		}
	}
	if want := "key.revoke acme/search/@ada/laptop token:acme/search/test acme laptop ok"; !slices.Contains(actions, want) {
		t.Errorf("the trail has %q, not %q", actions, want)
	}
}

func TestPagesOfKeys(t *testing.T) {
	w := newWorld(t)
	var want []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		want = append(want, w.makeKey(t, "acme", "search", name).Key.Id)
		w.now = w.now.Add(time.Second)
		w.makeKey(t, "acme", "ads", name)
		w.now = w.now.Add(time.Second)
		want = append(want, w.makeKey(t, "globex", "search", name).Key.Id)
		w.now = w.now.Add(time.Second)
	}
	var got []string
	for token := ""; ; {
		page, err := w.client.ListKeys(as("viewer:acme/search", "operator:globex", "member:globex/search"), &adminv1.ListKeysRequest{PageSize: 3, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Keys {
			got = append(got, k.Id)
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d keys %v, want %d", len(got), got, len(want))
	}
}

// TestNoOracle: what is another's and what is not there get the same answer, to the letter.
func TestNoOracle(t *testing.T) {
	w := newWorld(t)
	foreign := w.makeKey(t, "globex", "search", "k").Key.Id
	token := w.makeToken(t, "t", "viewer", "globex", "").Token.Id
	me := as("admin:acme/search")
	none := "key_00000000000000000000000000"
	pairs := map[string][2]error{}
	pair := func(name string, there, not error) { pairs[name] = [2]error{there, not} }
	get := func(id string) error { _, err := w.client.GetKey(me, &adminv1.GetKeyRequest{Id: id}); return err }
	pair("get", get(foreign), get(none))
	revoke := func(id string) error { _, err := w.client.RevokeKey(me, &adminv1.RevokeKeyRequest{Id: id}); return err }
	pair("revoke", revoke(foreign), revoke(none))
	create := func(tenant string) error {
		_, err := w.client.CreateKey(me, &adminv1.CreateKeyRequest{Tenant: tenant, Spec: &adminv1.KeySpec{Name: "k"}})
		return err
	}
	pair("create", create("globex"), create("nobody"))
	list := func(tenant string) error {
		_, err := w.client.ListKeys(me, &adminv1.ListKeysRequest{Tenant: tenant})
		return err
	}
	pair("list", list("globex"), list("nobody"))
	usage := func(tenant string) error {
		_, err := w.client.GetUsage(me, &adminv1.GetUsageRequest{Where: []string{"tenant=" + tenant}})
		return err
	}
	pair("usage", usage("globex"), usage("nobody"))
	audit := func(tenant string) error {
		_, err := w.client.ListAudit(me, &adminv1.ListAuditRequest{Tenant: tenant})
		return err
	}
	pair("audit", audit("globex"), audit("nobody"))
	principals := func(tenant string) error {
		_, err := w.client.ListPrincipals(me, &adminv1.ListPrincipalsRequest{Tenant: tenant})
		return err
	}
	pair("principals", principals("globex"), principals("nobody"))
	endToken := func(id string) error {
		_, err := w.client.RevokeToken(me, &adminv1.RevokeTokenRequest{Id: id})
		return err
	}
	pair("token", endToken(token), endToken("token_none"))
	makeToken := func(tenant string) error {
		_, err := w.client.CreateToken(me, &adminv1.CreateTokenRequest{Name: "t", Grant: &adminv1.Grant{Role: "viewer", Tenant: tenant}})
		return err
	}
	pair("new token", makeToken("globex"), makeToken("nobody"))
	for name, p := range pairs {
		if p[0] == nil || p[1] == nil || p[0].Error() != p[1].Error() || status.Code(p[0]) != codes.NotFound {
			t.Errorf("%s: what is another's: %v; what is not there: %v", name, p[0], p[1])
		}
	}
	if k, err := w.client.GetKey(as("admin"), &adminv1.GetKeyRequest{Id: foreign}); err != nil || k.Key.Revoked != nil {
		t.Errorf("the key of another tenant was touched: %v %v", k, err)
	}
}

func TestTokensGiveNoMoreThanTheirMakerHas(t *testing.T) {
	w := newWorld(t)
	give := func(ctx context.Context, role, tenant, team string, expires time.Time) error {
		r := &adminv1.CreateTokenRequest{Name: "n" + role + tenant + team, Grant: &adminv1.Grant{Role: role, Tenant: tenant, Team: team}}
		if !expires.IsZero() {
			r.Expires = timestamppb.New(expires)
		}
		_, err := w.client.CreateToken(ctx, r)
		return err
	}
	wantCode(t, "an admin of a tenant for its team", give(as("admin:acme"), "operator", "acme", "search", time.Time{}), codes.OK)
	wantCode(t, "for everything", give(as("admin:acme"), "viewer", "", "", time.Time{}), codes.NotFound)
	wantCode(t, "for another", give(as("admin:acme"), "viewer", "globex", "", time.Time{}), codes.NotFound)
	wantCode(t, "a team's admin for its tenant", give(as("admin:acme/search"), "viewer", "acme", "", time.Time{}), codes.NotFound)
	wantCode(t, "an operator", give(as("operator"), "viewer", "", "", time.Time{}), codes.PermissionDenied)
	wantCode(t, "a viewer of all who is admin of a tenant", give(as("viewer", "admin:acme"), "viewer", "", "", time.Time{}), codes.NotFound)
	wantCode(t, "a member without a tenant", give(as("admin"), "member", "", "", time.Time{}), codes.InvalidArgument)
	wantCode(t, "no role", give(as("admin"), "root", "", "", time.Time{}), codes.InvalidArgument)
	wantCode(t, "a team without its tenant", give(as("admin"), "viewer", "", "search", time.Time{}), codes.InvalidArgument)
	wantCode(t, "no such team", give(as("admin"), "viewer", "acme", "nothing", time.Time{}), codes.NotFound)
	wantCode(t, "in the past", give(as("admin"), "viewer", "", "", w.now.Add(-time.Second)), codes.InvalidArgument)

	mortal := as("admin")
	access.CallerOf(mortal).Identity.Expires = w.now.Add(time.Hour)
	wantCode(t, "one that outlives its maker", give(mortal, "viewer", "acme", "", time.Time{}), codes.PermissionDenied)
	wantCode(t, "one that outlives its maker by a little", give(mortal, "viewer", "acme", "", w.now.Add(2*time.Hour)), codes.PermissionDenied)
	wantCode(t, "one that does not", give(mortal, "viewer", "acme", "", w.now.Add(time.Hour)), codes.OK)
	wantCode(t, "a name that is taken", give(as("admin"), "viewer", "acme", "", time.Time{}), codes.AlreadyExists)
	_, err := w.client.CreateToken(as("admin"), &adminv1.CreateTokenRequest{Name: "file", Grant: &adminv1.Grant{Role: "viewer", Tenant: "acme"}})
	wantCode(t, "the name of one of the configuration", err, codes.AlreadyExists)
	_, err = w.client.CreateToken(as("admin"), &adminv1.CreateTokenRequest{Name: "a b", Grant: &adminv1.Grant{Role: "viewer"}})
	wantCode(t, "no name", err, codes.InvalidArgument)
}

func TestListTokens(t *testing.T) {
	w := newWorld(t)
	w.makeToken(t, "all", "viewer", "", "")
	own := w.makeToken(t, "own", "operator", "acme", "search")
	w.makeToken(t, "foreign", "operator", "globex", "")
	names := func(ctx context.Context, size int32) (out []string) {
		for token := ""; ; {
			page, err := w.client.ListTokens(ctx, &adminv1.ListTokensRequest{PageSize: size, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range page.Tokens {
				out = append(out, k.Name)
			}
			if token = page.NextPageToken; token == "" {
				return out
			}
		}
	}
	for _, size := range []int32{0, 1} {
		if got := names(as("admin"), size); !slices.Equal(got, []string{"file", "all", "own", "foreign"}) {
			t.Errorf("by %d: %v", size, got)
		}
		if got := names(as("admin:acme"), size); !slices.Equal(got, []string{"file", "own"}) {
			t.Errorf("of a tenant, by %d: %v", size, got)
		}
	}
	if k, err := w.client.RevokeToken(as("admin:acme"), &adminv1.RevokeTokenRequest{Id: own.Token.Id}); err != nil || k.Token.Revoked == nil || k.Token.RevokedBy != "token:acme/test" {
		t.Errorf("%v %v", k, err)
	}
	if again, err := w.client.RevokeToken(as("admin"), &adminv1.RevokeTokenRequest{Id: own.Token.Id}); err != nil || again.Token.RevokedBy != "token:acme/test" {
		t.Errorf("revoked a second time: %v %v", again, err)
	}
	w.makeToken(t, "own", "operator", "acme", "search") // the name is free again
}

func TestPrincipalsOfAScope(t *testing.T) {
	w := newWorld(t)
	levels := func(ctx context.Context, r *adminv1.ListPrincipalsRequest) (out []string) {
		list, err := w.client.ListPrincipals(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list.Principals {
			name := p.Level
			if len(p.Limits) > 0 {
				name += "*"
			}
			out = append(out, name)
		}
		return out
	}
	team := []string{"team:acme/search*", "key:acme/search/ci*", "user:acme/search/@ada*"}
	if got := levels(as("member:acme/search"), &adminv1.ListPrincipalsRequest{}); !slices.Equal(got, team) {
		t.Errorf("a member sees %v", got)
	}
	tenant := append([]string{"tenant:acme*", "key:acme/ci*", "team:acme/ads"}, team...)
	if got := levels(as("viewer:acme"), &adminv1.ListPrincipalsRequest{}); !slices.Equal(got, tenant) {
		t.Errorf("a tenant's viewer sees %v", got)
	}
	if got := levels(as("viewer"), &adminv1.ListPrincipalsRequest{Tenant: "acme", Team: "search"}); !slices.Equal(got, team) {
		t.Errorf("asked for a team: %v", got)
	}
	if got := levels(as("viewer"), &adminv1.ListPrincipalsRequest{}); len(got) != len(tenant)+5 || !slices.Contains(got, "nonsense*") || !slices.Contains(got, "global*") {
		t.Errorf("a viewer of all sees %v", got)
	}
}

func TestUsageOfAScope(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		grants []string
		where  []string
		within map[string][]string
		code   codes.Code
	}{
		{[]string{"viewer"}, nil, nil, codes.OK},
		{[]string{"viewer"}, []string{"tenant=acme", "team=x"}, nil, codes.OK},
		{[]string{"member:acme"}, nil, map[string][]string{"tenant": {"acme"}}, codes.OK},
		{[]string{"member:acme"}, []string{"team=search"}, map[string][]string{"tenant": {"acme"}}, codes.OK},
		{[]string{"member:acme/search"}, nil, map[string][]string{"tenant": {"acme"}, "team": {"search"}}, codes.OK},
		{[]string{"member:acme/search"}, []string{"team=search"}, map[string][]string{"tenant": {"acme"}}, codes.OK},
		{[]string{"member:acme/search"}, []string{"team=ads"}, nil, codes.NotFound},
		{[]string{"member:acme/search"}, []string{"team=search", "team=ads"}, nil, codes.NotFound},
		{[]string{"member:acme/search"}, []string{"tenant=acme"}, nil, codes.NotFound},
		{[]string{"member:acme/search"}, []string{"tenant=acme", "team=search"}, nil, codes.OK},
		{[]string{"member:acme/search"}, []string{"tenant=acme", "tenant=globex", "team=search"}, nil, codes.NotFound},
		{[]string{"member:acme/search"}, []string{"tenant="}, nil, codes.NotFound},
		{[]string{"member:acme", "viewer:globex"}, nil, map[string][]string{"tenant": {"acme", "globex"}}, codes.OK},
		{[]string{"member:acme", "viewer:globex/search"}, nil, nil, codes.InvalidArgument},
	} {
		w.asked = Question{}
		_, err := w.client.GetUsage(as(c.grants...), &adminv1.GetUsageRequest{Where: c.where})
		wantCode(t, strings.Join(append(c.grants, c.where...), " "), err, c.code)
		same := len(w.asked.Within) == len(c.within)
		for k, v := range c.within {
			same = same && slices.Equal(w.asked.Within[k], v)
		}
		if !same {
			t.Errorf("%v %v: narrowed to %v, want %v", c.grants, c.where, w.asked.Within, c.within)
		}
	}
}

func TestCache(t *testing.T) {
	w := newWorld(t)
	purge := func(ctx context.Context, r *adminv1.PurgeCacheRequest) error {
		_, err := w.client.PurgeCache(ctx, r)
		return err
	}
	wantCode(t, "a tenant's operator", purge(as("operator:acme"), &adminv1.PurgeCacheRequest{Tenant: "acme", OlderThan: durationpb.New(time.Hour)}), codes.OK)
	wantCode(t, "another's", purge(as("operator:acme"), &adminv1.PurgeCacheRequest{Tenant: "globex"}), codes.NotFound)
	wantCode(t, "all of a tenant's operator", purge(as("operator:acme"), &adminv1.PurgeCacheRequest{All: true}), codes.NotFound)
	wantCode(t, "a team's operator: the cache is the tenant's", purge(as("operator:acme/search"), &adminv1.PurgeCacheRequest{Tenant: "acme"}), codes.NotFound)
	wantCode(t, "nothing named", purge(as("admin"), &adminv1.PurgeCacheRequest{}), codes.InvalidArgument)
	wantCode(t, "all and a tenant", purge(as("admin"), &adminv1.PurgeCacheRequest{All: true, Tenant: "acme"}), codes.InvalidArgument)
	wantCode(t, "no duration", purge(as("admin"), &adminv1.PurgeCacheRequest{OlderThan: durationpb.New(-1)}), codes.InvalidArgument)
	if want := (cache.Filter{Tenant: "acme", OlderThan: time.Hour}); len(w.tier.purged) != 1 || w.tier.purged[0] != want {
		t.Errorf("purged %+v", w.tier.purged)
	}
	wrong := true
	feedback := func(key string) error {
		_, err := w.client.CacheFeedback(as("operator"), &adminv1.CacheFeedbackRequest{Key: key, Wrong: &wrong})
		return err
	}
	wantCode(t, "feedback", feedback("entry"), codes.OK)
	wantCode(t, "feedback on nothing", feedback("x"), codes.NotFound)
	w.tier.err = errors.New("redis is away")
	wantCode(t, "a tier that is away", purge(as("admin"), &adminv1.PurgeCacheRequest{All: true}), codes.Unavailable)
	wantCode(t, "feedback to a tier that is away", feedback("entry"), codes.Unavailable)
}

func TestGateway(t *testing.T) {
	w := newWorld(t)
	if st, err := w.client.GetStatus(as("viewer"), &adminv1.GetStatusRequest{}); err != nil || st.Status.Fields["in_flight"].GetNumberValue() != 3 {
		t.Errorf("%v %v", st, err)
	}
	if r, err := w.client.Reload(as("operator"), &adminv1.ReloadRequest{}); err != nil || r.Version != "v2" {
		t.Errorf("%v %v", r, err)
	}
	w.o.Reload = func() (string, error) { return "", errors.New("dragoman.yaml:1: listen: unknown field") }
	_, err := w.client.Reload(as("operator"), &adminv1.ReloadRequest{})
	wantCode(t, "a faulty configuration", err, codes.FailedPrecondition)
	if !strings.Contains(err.Error(), "dragoman.yaml:1") {
		t.Errorf("the fault is not said: %v", err)
	}
}

func TestWithoutALedger(t *testing.T) {
	w := newWorld(t)
	w.o.Tokens, w.o.Keys, w.o.Usage, w.o.AuditPage, w.o.Verify = nil, nil, nil, nil, nil
	_, err := w.client.ListKeys(as("admin"), &adminv1.ListKeysRequest{})
	wantCode(t, "keys", err, codes.FailedPrecondition)
	_, err = w.client.GetUsage(as("admin"), &adminv1.GetUsageRequest{})
	wantCode(t, "usage", err, codes.FailedPrecondition)
	_, err = w.client.ListAudit(as("admin"), &adminv1.ListAuditRequest{})
	wantCode(t, "audit", err, codes.FailedPrecondition)
	_, err = w.client.VerifyAudit(as("admin"), &adminv1.VerifyAuditRequest{})
	wantCode(t, "verify", err, codes.FailedPrecondition)
	_, err = w.client.CreateToken(as("admin"), &adminv1.CreateTokenRequest{Name: "t", Grant: &adminv1.Grant{Role: "viewer"}})
	wantCode(t, "tokens", err, codes.FailedPrecondition)
	if list, err := w.client.ListTokens(as("admin"), &adminv1.ListTokensRequest{}); err != nil || len(list.Tokens) != 1 {
		t.Errorf("those of the configuration: %v %v", list, err)
	}
}

// TestAMethodThatForgetsToAsk answers nothing: deny by default holds for the code, too. Neither does one that panics.
func TestAMethodThatForgetsToAsk(t *testing.T) {
	w := newWorld(t)
	wantCode(t, "one that forgets", w.Do(as("admin"), adminv1.Admin_GetKey_FullMethodName, func(context.Context) error { return nil }), codes.Internal)
	wantCode(t, "one that panics", w.Do(as("admin"), adminv1.Admin_Reload_FullMethodName, func(context.Context) error { panic("at the disco") }), codes.Internal)
	wantCode(t, "one that nobody knows", w.Do(as("admin"), "/dragoman.admin.v1.Admin/Drop", func(context.Context) error { return nil }), codes.PermissionDenied)
	wantCode(t, "nobody", w.Do(context.Background(), adminv1.Admin_WhoAmI_FullMethodName, func(context.Context) error { return nil }), codes.Unauthenticated)
}

func TestControlCharacters(t *testing.T) {
	w := newWorld(t)
	for _, r := range []*adminv1.CreateKeyRequest{{Tenant: "a\x00"}, {Spec: &adminv1.KeySpec{Name: "a\nb"}}, {Spec: &adminv1.KeySpec{Models: []string{"m", "\x1b[2J"}}},
		{Spec: &adminv1.KeySpec{Tags: map[string]string{"a": "\x7f"}}}, {Spec: &adminv1.KeySpec{Tags: map[string]string{"\x01": "a"}}}} {
		_, err := w.client.CreateKey(as("admin"), r)
		wantCode(t, r.String(), err, codes.InvalidArgument)
		if err != nil && !strings.Contains(err.Error(), "control character") {
			t.Errorf("%v: %v", r, err)
		}
	}
}
