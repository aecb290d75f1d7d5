package page

import (
	"context"
	"net/http"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// view is what the page shows.
type view struct {
	Title    string
	Me       *adminv1.WhoAmIResponse
	Person   bool
	Open     bool // nobody is set as admin
	Error    string
	Made     *made // what was just made, once
	Keys     []*adminv1.Key
	KeysMore bool
	KeysWhy  string // why there are none
	Places   []string
	Levels   []*adminv1.Principal
	Unknown  bool // where limits stand
	Tokens   []*adminv1.Token
	Roles    []string

	MayCreateKey, MayChangeKey, MaySeeTokens bool
}

// made is a secret that is shown once.
type made struct{ What, Name, Secret string }

// pageKeys is how many keys, and tokens, the page lists.
const pageKeys = 200

// show shows the page after what was done: m was made, or err came of it.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, code int, m *made) {
	v, err := p.look(r.Context())
	if err != nil {
		p.fail(w, r, err)
		return
	}
	v.Made = m
	p.render(w, code, "home.html", v)
}

// look asks the API for all that the caller may see.
func (p *Pages) look(ctx context.Context) (*view, error) {
	me, err := p.o.Client.WhoAmI(ctx, &adminv1.WhoAmIRequest{})
	if err != nil {
		return nil, err
	}
	id := access.CallerOf(ctx).Identity
	v := &view{Title: "Dragoman", Me: me, Person: id.Person(), Open: id.Kind == access.KindLocal, Roles: config.Roles}
	may := func(method string) bool { return slices.Contains(me.Methods, method) }
	v.MayCreateKey, v.MayChangeKey, v.MaySeeTokens = may("CreateKey"), may("RevokeKey"), may("ListTokens")
	if may("ListKeys") {
		keys, err := p.o.Client.ListKeys(ctx, &adminv1.ListKeysRequest{PageSize: pageKeys})
		switch status.Code(err) {
		case codes.OK:
			v.Keys, v.KeysMore = keys.Keys, keys.NextPageToken != ""
		case codes.FailedPrecondition, codes.Unavailable:
			v.KeysWhy, v.MayCreateKey = status.Convert(err).Message(), false
		default:
			return nil, err
		}
	}
	if err := p.lookAtLimits(ctx, v, may); err != nil {
		return nil, err
	}
	if v.MaySeeTokens {
		tokens, err := p.o.Client.ListTokens(ctx, &adminv1.ListTokensRequest{PageSize: pageKeys})
		if err != nil {
			return nil, err
		}
		v.Tokens = tokens.Tokens
	}
	return v, nil
}

func (p *Pages) lookAtLimits(ctx context.Context, v *view, may func(string) bool) error {
	if !may("ListPrincipals") {
		return nil
	}
	levels, err := p.o.Client.ListPrincipals(ctx, &adminv1.ListPrincipalsRequest{})
	if err != nil {
		return err
	}
	v.Unknown = levels.LimitsUnknown
	for _, l := range levels.Principals {
		if l.Tenant != "" && l.User == "" && l.Key == "" {
			v.Places = append(v.Places, config.Place{Tenant: l.Tenant, Team: l.Team}.String())
		}
		if len(l.Limits) > 0 && len(v.Levels) < pageKeys {
			v.Levels = append(v.Levels, l)
		}
	}
	return nil
}
