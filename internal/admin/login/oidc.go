package login

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"dragoman/internal/admin/access"
)

type oidcProvider struct {
	provider *oidc.Provider
	verifier *oidc.IDTokenVerifier
	claim    string
}

// skew is how far the provider's clock may be behind: a token that ended so long ago is taken.
const skew = time.Minute

// discover reads what the issuer says of itself. Its keys are read when one is needed that is not known: so they may be rotated.
func (p *provider) discover(ctx context.Context, s *Logins) (err error) {
	c := p.login.OIDC
	if p.client, err = newClient(c.CA, s.o.Version); err != nil {
		return err
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), c.Issuer)
	if err != nil {
		return err
	}
	p.oauth.ClientID, p.oauth.ClientSecret, p.oauth.Scopes, p.oauth.Endpoint = c.ClientID, c.ClientSecret.Reveal(), c.Scopes, found.Endpoint()
	// The keys outlive this request: its context must not end their reading.
	verifier := found.VerifierContext(oidc.ClientContext(context.Background(), p.client), &oidc.Config{ClientID: c.ClientID, Now: func() time.Time { return s.o.Now().Add(-skew) }})
	p.oidc = &oidcProvider{provider: found, verifier: verifier, claim: c.GroupsClaim}
	return nil
}

// claims are what is read of an ID token and of the user's information.
type claims struct {
	email    string
	verified bool
	username string // preferred_username, which its owner may choose
	groups   []string
	grouped  bool // there is a claim of groups
}

// person verifies the ID token. What it leaves out of the address and groups is asked for.
func (o *oidcProvider) person(ctx context.Context, p *provider, f *flow, token *oauth2.Token) (*Person, *Fault) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, away(p.login, "has sent no ID token", nil)
	}
	id, err := o.verifier.Verify(oidc.ClientContext(ctx, p.client), raw)
	if err != nil {
		return nil, away(p.login, "has sent an ID token that cannot be trusted", err)
	}
	if !same(f.Nonce, id.Nonce) {
		return nil, refuse(http.StatusBadRequest, "The ID token belongs to another login: begin again.")
	}
	c, err := o.read(id)
	if err == nil && (c.email == "" || !c.grouped) && o.provider.UserInfoEndpoint() != "" {
		err = o.ask(oidc.ClientContext(ctx, p.client), id.Subject, token, c)
	}
	if err != nil {
		return nil, away(p.login, "does not say who you are", err)
	}
	if c.email == "" || !c.verified {
		return o.bySubject(p, id.Subject, c)
	}
	email := strings.ToLower(c.email)
	if len(email) > 254 || strings.ContainsFunc(email, func(r rune) bool { return r <= ' ' || r == 0x7f }) || strings.Count(email, "@") != 1 {
		return nil, refuse(http.StatusForbidden, "The provider of the login %q knows you by an address that is none.", p.login.Name)
	}
	return &Person{Kind: access.KindOIDC, Name: email, Emails: []string{email}, Groups: c.groups}, nil
}

// bySubject is somebody of whom the provider has verified no address (Entra ID says of none that it has): known by the subject, which it
// gives to nobody else, and with roles by groups alone. The name that the person may choose stands behind it, for people.
func (o *oidcProvider) bySubject(p *provider, subject string, c *claims) (*Person, *Fault) {
	if len(c.groups) == 0 {
		return nil, refuse(http.StatusForbidden, "The provider of the login %q knows no address of yours that it has verified, and no group that you are in.", p.login.Name)
	}
	name := subject
	if u := c.username; u != "" && len(u) <= 100 && !strings.ContainsFunc(u, func(r rune) bool { return r < ' ' || r == 0x7f || r == '(' || r == ')' }) {
		name += " (" + u + ")"
	}
	if len(subject) > 128 || strings.ContainsFunc(subject, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, refuse(http.StatusForbidden, "The provider of the login %q knows you by a subject that is none.", p.login.Name)
	}
	return &Person{Kind: access.KindOIDC, Name: name, Groups: c.groups}, nil
}

// claimer has claims.
type claimer interface{ Claims(v any) error }

func (o *oidcProvider) read(from claimer) (*claims, error) {
	var all map[string]json.RawMessage
	if err := from.Claims(&all); err != nil {
		return nil, err
	}
	c := &claims{}
	if raw, ok := all["email"]; ok {
		_ = json.Unmarshal(raw, &c.email) // no text: none
	}
	if raw, ok := all["preferred_username"]; ok {
		_ = json.Unmarshal(raw, &c.username)
	}
	// Some providers write the word as text.
	verified := strings.Trim(string(all["email_verified"]), `"`)
	c.verified = verified == "true"
	raw, ok := all[o.claim]
	c.grouped = ok
	var one string
	switch {
	case !ok:
	case json.Unmarshal(raw, &one) == nil: // null, too
		if one != "" {
			c.groups = []string{one}
		}
	default:
		_ = json.Unmarshal(raw, &c.groups)
	}
	if len(c.groups) > maxGroups {
		return nil, fmt.Errorf("the claim %s names more than %d groups", cut(o.claim), maxGroups)
	}
	return c, nil
}

// maxGroups bounds what a provider may say somebody belongs to.
const maxGroups = 5000

// ask reads the user's information, which must be of the same user.
func (o *oidcProvider) ask(ctx context.Context, subject string, token *oauth2.Token, c *claims) error {
	info, err := o.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return err
	}
	if info.Subject != subject {
		return fmt.Errorf("the user's information is of another user")
	}
	more, err := o.read(info)
	if err != nil {
		return err
	}
	if c.email == "" {
		c.email, c.verified = more.email, more.verified
	}
	if c.username == "" {
		c.username = more.username
	}
	if !c.grouped {
		c.groups, c.grouped = more.groups, more.grouped
	}
	return nil
}
