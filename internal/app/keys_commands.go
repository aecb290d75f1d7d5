package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/keystore"
	"dragoman/internal/ledger"
	"dragoman/internal/store/sqldb"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// NewStoredKey is a key that is to be made in the store of keys.
type NewStoredKey struct {
	Place                                 string // tenant, tenant/team, tenant/team/@user
	Name                                  string
	Models, Providers, DataRegions        []string
	Expires                               string // 90d, 12h, 2026-12-31 or a time (RFC 3339); "": never, or as long as identity.keys.max_age allows
	PerMinute, TokensPerMinute            uint64 // 0: unlimited
	ConcurrentRequests, ConcurrentStreams uint64
	BudgetUSD                             float64 // 0: none
	BudgetTokens                          uint64
	Per                                   string // hour, day, week or month, of the budgets
	Tags                                  map[string]string
	JSON                                  bool
}

// keyTool is what the commands work with.
type keyTool struct {
	o     Options
	snap  *config.Snapshot
	db    *sqldb.DB
	store *keystore.Store
}

// openKeyTool opens the store of keys of a configuration, whose gateway may run meanwhile. hashing says that a secret is going to be hashed.
func openKeyTool(o Options, hashing bool) (*keyTool, error) {
	snap, book, err := bookOf(o)
	if err != nil {
		return nil, err
	}
	if snap.KeyStore == nil {
		return nil, fmt.Errorf("%s: identity.keys is not configured: keys stand in the configuration alone (`dragoman keys create` without a place makes one for it)", snap.Source)
	}
	if book == nil {
		return nil, keysProblem(snap, "needs `ledger`, whose database keeps the keys")
	}
	settings, secret := snap.KeyStore.Beside(book), ""
	settings.Cache = "" // is the gateway's
	if hashing {
		if secret, err = keysSecret(settings); err != nil {
			return nil, err
		}
	}
	db, err := openDatabase(book)
	if err != nil {
		return nil, err
	}
	t := &keyTool{o: o, snap: snap, db: db}
	t.store = keystore.New(keystore.Options{Database: db, Secret: secret, Settings: settings, Config: func() *config.Snapshot { return t.snap }})
	return t, nil
}

// withKeys runs f on the store of keys of a configuration.
func withKeys(o Options, hashing bool, f func(t *keyTool) error) error {
	t, err := openKeyTool(o, hashing)
	if err != nil {
		return err
	}
	return errors.Join(sentence(f(t)), t.db.Close())
}

// sentence shows a fault as a person at a terminal should read it.
func sentence(err error) error {
	var f *fault.Fault
	switch {
	case !errors.As(err, &f):
		return err
	case f.Param != "":
		return errors.New(f.Param + ": " + f.Message)
	default:
		return errors.New(f.Message)
	}
}

// CreateStoredKey makes a key in the store of keys. Its secret goes to standard output alone, what else there is to say to standard error.
func CreateStoredKey(ctx context.Context, o Options, n NewStoredKey) error {
	at, err := config.ParsePlace(n.Place)
	if err != nil {
		return err
	}
	expires, err := future(n.Expires, time.Now())
	if err != nil {
		return fmt.Errorf("expires: %w", err)
	}
	spec, err := n.spec()
	if err != nil {
		return err
	}
	if o.Remote.URL != "" {
		return remoteKeys{o, o.Remote}.create(ctx, at, spec, expires, n.JSON)
	}
	return withKeys(o, true, func(t *keyTool) error {
		k, secret, err := t.store.Create(ctx, operator(), at, spec, expires)
		if err != nil {
			return err
		}
		err = t.audit(ctx, "key.create", k, "")
		t.show(k, secret, "made", n.JSON)
		return err
	})
}

// RotateStoredKey gives a key, by its ID or path, another secret.
func RotateStoredKey(ctx context.Context, o Options, which string, overlap time.Duration, asJSON bool) error {
	if o.Remote.URL != "" {
		return remoteKeys{o, o.Remote}.rotate(ctx, which, overlap, asJSON)
	}
	return withKeys(o, true, func(t *keyTool) error {
		k, err := t.store.Find(ctx, which)
		if err != nil {
			return err
		}
		k, secret, err := t.store.Rotate(ctx, operator(), k.ID, overlap)
		if err != nil {
			return err
		}
		err = t.audit(ctx, "key.rotate", k, "overlap "+overlap.String())
		t.show(k, secret, "rotated", asJSON)
		return err
	})
}

// RevokeStoredKey ends a key, by its ID or path.
func RevokeStoredKey(ctx context.Context, o Options, which string, asJSON bool) error {
	if o.Remote.URL != "" {
		return remoteKeys{o, o.Remote}.revoke(ctx, which, asJSON)
	}
	return withKeys(o, false, func(t *keyTool) error {
		k, err := t.store.Find(ctx, which)
		if err != nil {
			return err
		}
		if k, err = t.store.Revoke(ctx, operator(), k.ID); err != nil {
			return err
		}
		err = t.audit(ctx, "key.revoke", k, "")
		t.show(k, "", "revoked", asJSON)
		return err
	})
}

// ListStoredKeys writes the keys below a place ("": all), as a table or as lines of JSON. all says that revoked ones are wanted, too.
func ListStoredKeys(ctx context.Context, o Options, place string, all, asJSON bool) error {
	f := keystore.Filter{Revoked: all, Limit: keystore.MaxList}
	if place != "" {
		at, err := config.ParsePlace(place)
		if err != nil {
			return err
		}
		f.Tenant, f.Team, f.User = at.Tenant, at.Team, at.User
	}
	write, finish := keyTable(o.Stdout, time.Now())
	if asJSON {
		enc := json.NewEncoder(o.Stdout)
		write, finish = func(k *keystore.Key) error { return enc.Encode(keyJSON(k, "")) }, func() error { return nil }
	}
	if o.Remote.URL != "" {
		if err := (remoteKeys{o, o.Remote}).each(ctx, config.Place{Tenant: f.Tenant, Team: f.Team, User: f.User}, all, write); err != nil {
			return err
		}
		return finish()
	}
	return withKeys(o, false, func(t *keyTool) error {
		for {
			keys, err := t.store.List(ctx, f)
			if err != nil {
				return err
			}
			for _, k := range keys {
				if err := write(k); err != nil {
					return err
				}
			}
			if len(keys) < f.Limit {
				return finish()
			}
			f.After = keys[len(keys)-1].ID
		}
	})
}

// keyTable writes a line for each key.
func keyTable(w io.Writer, now time.Time) (write func(*keystore.Key) error, finish func() error) {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	_, err := fmt.Fprintln(t, "ID\tKEY\tBEGINS\tMADE\tEXPIRES\tLAST USED\tSTATE")
	when := func(at time.Time) string {
		if at.IsZero() {
			return "never"
		}
		return at.Format("2006-01-02 15:04")
	}
	return func(k *keystore.Key) error {
		if err == nil {
			_, err = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Path(), k.Prefix, when(k.Created), when(k.Expires), when(k.LastUsed), keyState(k, now))
		}
		return err
	}, t.Flush
}

func keyState(k *keystore.Key, now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Expires.IsZero() && !k.Expires.After(now):
		return "expired"
	case !k.Overlap.IsZero():
		return "in use, the one before until " + k.Overlap.Format("2006-01-02 15:04")
	default:
		return "in use"
	}
}

// shownKey is a key as JSON.
type shownKey struct {
	ID        string          `json:"id"`
	Path      string          `json:"path"`
	Tenant    string          `json:"tenant"`
	Team      string          `json:"team,omitempty"`
	User      string          `json:"user,omitempty"`
	Name      string          `json:"name"`
	Key       string          `json:"key,omitempty"` // the secret, when it was just made
	Prefix    string          `json:"prefix"`
	Spec      json.RawMessage `json:"spec"`
	Created   time.Time       `json:"created"`
	CreatedBy string          `json:"created_by"`
	Expires   *time.Time      `json:"expires,omitempty"`
	Revoked   *time.Time      `json:"revoked,omitempty"`
	RevokedBy string          `json:"revoked_by,omitempty"`
	LastUsed  *time.Time      `json:"last_used,omitempty"`
	Overlap   *time.Time      `json:"overlap,omitempty"`
}

func keyJSON(k *keystore.Key, secret string) shownKey {
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return shownKey{ID: k.ID, Path: k.Path(), Tenant: k.Place.Tenant, Team: k.Place.Team, User: k.Place.User, Name: k.Spec.GetName(), Key: secret, Prefix: k.Prefix,
		Spec: json.RawMessage(keystore.SpecJSON(k.Spec)), Created: k.Created, CreatedBy: k.CreatedBy, Expires: at(k.Expires), Revoked: at(k.Revoked),
		RevokedBy: k.RevokedBy, LastUsed: at(k.LastUsed), Overlap: at(k.Overlap)}
}

// show prints what was done.
func (t *keyTool) show(k *keystore.Key, secret, what string, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(t.o.Stdout).Encode(keyJSON(k, secret))
		return
	}
	fmt.Fprintf(t.o.Stderr, "%s %s (%s)\n", what, k.Path(), k.ID)
	if !k.Overlap.IsZero() && secret != "" {
		fmt.Fprintf(t.o.Stderr, "the key before is accepted until %s\n", k.Overlap.Format(time.RFC3339))
	}
	if secret != "" {
		if !k.Expires.IsZero() {
			fmt.Fprintf(t.o.Stderr, "it expires %s\n", k.Expires.Format(time.RFC3339))
		}
		fmt.Fprintln(t.o.Stderr, "give it to the caller: it is shown this once")
		fmt.Fprintln(t.o.Stdout, secret)
	}
}

// audit writes down what a command has done, which is done by then.
func (t *keyTool) audit(ctx context.Context, action string, k *keystore.Key, detail string) error {
	detail = strings.TrimSpace(detail + " by " + operator())
	_, err := ledger.AuditOnce(ctx, t.db, ledger.Entry{Action: action, Outcome: "ok", Tenant: k.Place.Tenant, Team: k.Place.Team, User: k.Place.User,
		Key: k.Spec.GetName(), Subject: k.ID, Detail: detail})
	if err != nil {
		return fmt.Errorf("it is done, but the audit trail does not say so: %w", err)
	}
	return nil
}

// operator is who runs a command, as the machine knows them.
func operator() string {
	u, err := user.Current()
	if err != nil {
		return "command"
	}
	return "command:" + u.Username
}

// spec is what the key says.
func (n *NewStoredKey) spec() (*dragomanv1.Key, error) {
	k := &dragomanv1.Key{Name: n.Name, Models: n.Models, Providers: n.Providers, DataRegions: n.DataRegions, Tags: n.Tags}
	some := func(v uint64) *uint64 {
		if v == 0 {
			return nil
		}
		return &v
	}
	if n.PerMinute+n.TokensPerMinute+n.ConcurrentRequests+n.ConcurrentStreams > 0 {
		k.Limits = &dragomanv1.RateLimits{RequestsPerMinute: some(n.PerMinute), TokensPerMinute: some(n.TokensPerMinute),
			ConcurrentRequests: some(n.ConcurrentRequests), ConcurrentStreams: some(n.ConcurrentStreams)}
	}
	if n.BudgetUSD != 0 {
		k.Budgets = append(k.Budgets, &dragomanv1.Budget{Usd: &n.BudgetUSD, Per: n.Per})
	}
	if n.BudgetTokens != 0 {
		k.Budgets = append(k.Budgets, &dragomanv1.Budget{Tokens: &n.BudgetTokens, Per: n.Per})
	}
	if n.Per != "" && len(k.Budgets) == 0 {
		return nil, errors.New("--per is of a budget: add --budget-usd or --budget-tokens")
	}
	if n.Per == "" && len(k.Budgets) > 0 {
		return nil, errors.New("a budget needs --per: hour, day, week or month")
	}
	return k, nil
}

// future reads when something ends: 90d or 12h from now, or a time; the zero time for "".
func future(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 36_500 {
			return now.UTC().AddDate(0, 0, n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.UTC().Add(d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no moment to come: write 90d or 12h for how long from now, 2026-12-31 or 2026-12-31T08:00:00Z", s)
}

// storedPrincipal finds a key of the store by its path, as its callers would be known.
func storedPrincipal(o Options, snap *config.Snapshot, path string) (*config.Principal, error) {
	if snap.KeyStore == nil {
		return nil, keystore.ErrNotFound
	}
	t, err := openKeyTool(o, false)
	if err != nil {
		return nil, err
	}
	defer t.db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	k, err := t.store.Find(ctx, path)
	if err != nil {
		return nil, err
	}
	if state := keyState(k, time.Now()); state == "revoked" || state == "expired" {
		return nil, fmt.Errorf("the key %s is %s", k.Path(), state)
	}
	return snap.Caller(k.Place, k.Spec)
}
