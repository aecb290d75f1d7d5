package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"dragoman/internal/admin/access"
	"dragoman/internal/admin/api"
	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/internal/store/sqldb"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// NewToken is a token of an administrator that is to be made.
type NewToken struct {
	Name, Role, Tenant, Team string
	Expires                  string // 90d, 12h, 2026-12-31 or a time (RFC 3339); "": never
	Offline                  bool   // store nothing
	JSON                     bool
}

func (n NewToken) grant() config.RoleGrant {
	return config.RoleGrant{Role: config.Role(n.Role), Tenant: n.Tenant, Team: n.Team}
}

// CreateToken makes a token: by a gateway's admin API, in the database that the configuration names, or for the configuration itself. It goes
// to standard output alone, what else there is to say to standard error.
func CreateToken(ctx context.Context, o Options, n NewToken) error {
	expires, err := future(n.Expires, time.Now())
	if err != nil {
		return fmt.Errorf("expires: %w", err)
	}
	if err := n.grant().Check(); err != nil {
		return err
	}
	if !api.IsTokenName(n.Name) {
		return errors.New("the name must be 1 to 63 letters and digits, with . _ or - between them")
	}
	switch {
	case n.Offline && n.Expires != "":
		return errors.New("a token of the configuration has no end but that it is taken out: leave --expires out, or --offline")
	case n.Offline:
		return offlineToken(o, n)
	case o.Remote.URL != "":
		return remoteToken(ctx, o, n, expires)
	default:
		return storedToken(ctx, o, n, expires)
	}
}

// offlineToken prints what belongs into the configuration.
func offlineToken(o Options, n NewToken) error {
	secret, err := access.NewSecret(rand.Reader)
	if err != nil {
		return err
	}
	sum := access.HashSecret(secret)
	hash := "sha256:" + hex.EncodeToString(sum[:])
	if n.JSON {
		return json.NewEncoder(o.Stdout).Encode(map[string]string{"token": secret, "hash": hash})
	}
	entry := fmt.Sprintf("{name: %s, role: %s, hash: %q", n.Name, n.Role, hash)
	if n.Tenant != "" {
		entry += ", tenant: " + n.Tenant
	}
	if n.Team != "" {
		entry += ", team: " + n.Team
	}
	fmt.Fprintf(o.Stderr, "give the token to the program: it is shown this once. The configuration knows it by its hash:\n\nadmin:\n  tokens:\n    - %s}\n\n", entry)
	fmt.Fprintln(o.Stdout, secret)
	return nil
}

func remoteToken(ctx context.Context, o Options, n NewToken, expires time.Time) error {
	in := &adminv1.CreateTokenRequest{Name: n.Name, Grant: &adminv1.Grant{Role: n.Role, Tenant: n.Tenant, Team: n.Team}}
	if !expires.IsZero() {
		in.Expires = timestamppb.New(expires)
	}
	out := &adminv1.CreateTokenResponse{}
	if err := o.Remote.call(ctx, http.MethodPost, "/api/v1/tokens", nil, in, out); err != nil {
		return err
	}
	return showNewToken(o, out, n.JSON)
}

// withTokens opens the database of the configuration, whose gateway may run meanwhile.
func withTokens(o Options, f func(snap *config.Snapshot, db *sqldb.DB) error) error {
	snap, book, err := bookOf(o)
	if err != nil {
		return err
	}
	if book == nil {
		return errNoAdminDatabase
	}
	db, err := openDatabase(book)
	if err != nil {
		return err
	}
	return errors.Join(f(snap, db), db.Close())
}

func storedToken(ctx context.Context, o Options, n NewToken, expires time.Time) error {
	return withTokens(o, func(snap *config.Snapshot, db *sqldb.DB) error {
		if n.Tenant != "" && !snap.HasPlace(n.Tenant, n.Team) {
			return fmt.Errorf("%w: %s", config.ErrNoPlace, config.Place{Tenant: n.Tenant, Team: n.Team})
		}
		t, secret, err := access.NewToken(rand.Reader, time.Now(), n.Name, n.grant(), operator(), expires)
		if err != nil {
			return err
		}
		if err := db.AddToken(ctx, t); err != nil {
			return err
		}
		err = auditToken(ctx, db, "token.create", t)
		return errors.Join(showNewToken(o, &adminv1.CreateTokenResponse{Token: api.ShowToken(t), Secret: secret}, n.JSON), err)
	})
}

// auditToken writes down what a command has done, which is done by then.
func auditToken(ctx context.Context, db *sqldb.DB, action string, t *access.Token) error {
	_, err := ledger.AuditOnce(ctx, db, ledger.Entry{Action: action, Outcome: "ok", Tenant: t.Grant.Tenant, Team: t.Grant.Team,
		Subject: access.TokenPath(t.Grant, t.Name) + " (" + t.Grant.String() + ")", Detail: "by " + operator()})
	if err != nil {
		return fmt.Errorf("it is done, but the audit trail does not say so: %w", err)
	}
	return nil
}

func showNewToken(o Options, made *adminv1.CreateTokenResponse, asJSON bool) error {
	if asJSON {
		b, err := protojson.Marshal(made)
		if err == nil {
			_, err = fmt.Fprintf(o.Stdout, "%s\n", compact(b))
		}
		return err
	}
	fmt.Fprintf(o.Stderr, "made %s (%s), shown this once\n", made.Token.Name, made.Token.Id)
	if e := made.Token.Expires; e != nil {
		fmt.Fprintf(o.Stderr, "it expires %s\n", e.AsTime().Format(time.RFC3339))
	}
	_, err := fmt.Fprintln(o.Stdout, made.Secret)
	return err
}

// ListTokens writes all tokens, as a table or as lines of JSON.
func ListTokens(ctx context.Context, o Options, asJSON bool) error {
	list, err := listTokens(ctx, o)
	if err != nil {
		return err
	}
	if !asJSON {
		return tokenTable(o.Stdout, list, time.Now())
	}
	for _, t := range list {
		b, err := protojson.Marshal(t)
		if err != nil {
			return err
		}
		fmt.Fprintf(o.Stdout, "%s\n", compact(b))
	}
	return nil
}

func listTokens(ctx context.Context, o Options) (list []*adminv1.Token, err error) {
	if o.Remote.URL == "" {
		err = withTokens(o, func(_ *config.Snapshot, db *sqldb.DB) error {
			for after := ""; ; {
				some, err := db.Tokens(ctx, after, 1000)
				for _, t := range some {
					list, after = append(list, api.ShowToken(t)), t.ID
				}
				if err != nil || len(some) < 1000 {
					return err
				}
			}
		})
		return list, err
	}
	query := url.Values{"pageSize": {"1000"}}
	for {
		out := &adminv1.ListTokensResponse{}
		if err := o.Remote.call(ctx, http.MethodGet, "/api/v1/tokens", query, nil, out); err != nil {
			return nil, err
		}
		list = append(list, out.Tokens...)
		if out.NextPageToken == "" {
			return list, nil
		}
		query.Set("pageToken", out.NextPageToken)
	}
}

func tokenTable(w io.Writer, list []*adminv1.Token, now time.Time) error {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tNAME\tROLE\tBEGINS\tMADE\tEXPIRES\tLAST USED\tSTATE")
	when := func(at *timestamppb.Timestamp, none string) string {
		if at == nil {
			return none
		}
		return at.AsTime().Format("2006-01-02 15:04")
	}
	for _, k := range list {
		state := "in use"
		switch {
		case k.Revoked != nil:
			state = "revoked"
		case k.Expires != nil && !k.Expires.AsTime().After(now):
			state = "expired"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Id, k.Name, grantOf(k).String(), k.Prefix, when(k.Created, ""), when(k.Expires, "never"), when(k.LastUsed, "never"), state)
	}
	return t.Flush()
}

func grantOf(t *adminv1.Token) config.RoleGrant {
	return config.RoleGrant{Role: config.Role(t.Grant.GetRole()), Tenant: t.Grant.GetTenant(), Team: t.Grant.GetTeam()}
}

// RevokeToken ends a token by its ID, name or path.
func RevokeToken(ctx context.Context, o Options, which string) error {
	list, err := listTokens(ctx, o)
	if err != nil {
		return err
	}
	t, err := tokenNamed(list, which)
	if err != nil {
		return err
	}
	if o.Remote.URL != "" {
		err = o.Remote.call(ctx, http.MethodPost, "/api/v1/tokens/"+url.PathEscape(t.Id)+":revoke", nil, &adminv1.RevokeTokenRequest{}, &adminv1.RevokeTokenResponse{})
	} else {
		err = withTokens(o, func(_ *config.Snapshot, db *sqldb.DB) error {
			if err := db.RevokeToken(ctx, t.Id, operator(), time.Now()); err != nil {
				return err
			}
			return auditToken(ctx, db, "token.revoke", &access.Token{Name: t.Name, Grant: grantOf(t)})
		})
	}
	if err == nil {
		fmt.Fprintf(o.Stderr, "revoked %s (%s)\n", t.Name, t.Id)
	}
	return err
}

// tokenNamed finds one that is not revoked.
func tokenNamed(list []*adminv1.Token, which string) (found *adminv1.Token, err error) {
	for _, t := range list {
		path := strings.TrimPrefix(access.TokenPath(grantOf(t), t.Name), access.KindToken+":")
		if t.Id != which && (t.Revoked != nil || t.Name != which && path != which) {
			continue
		}
		if t.Id == which || path == which {
			return t, nil
		}
		if found != nil {
			return nil, fmt.Errorf("several tokens are called %q: say which by its ID, or by TENANT/TEAM/NAME", which)
		}
		found = t
	}
	if found == nil {
		return nil, fmt.Errorf("there is no token %q that is not revoked", which)
	}
	return found, nil
}

// compact takes out the white space that protojson puts in at random.
func compact(b []byte) []byte {
	var v json.RawMessage = b
	out, err := json.Marshal(v)
	if err != nil {
		return b
	}
	return out
}
