package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
)

const (
	githubCom = "https://github.com"
	// githubPages bounds how many pages of 100 are read of each list.
	githubPages   = 50
	githubVersion = "2022-11-28"
)

// github makes a client of GitHub, or of an Enterprise Server.
func (p *provider) github(s *Logins) (err error) {
	c := p.login.GitHub
	if p.client, err = newClient(c.CA, s.o.Version); err != nil {
		return err
	}
	p.oauth.ClientID, p.oauth.ClientSecret, p.oauth.Scopes = c.ClientID, c.ClientSecret.Reveal(), githubScopes(p.login)
	p.oauth.Endpoint = oauth2.Endpoint{AuthURL: c.URL + "/login/oauth/authorize", TokenURL: c.URL + "/login/oauth/access_token", AuthStyle: oauth2.AuthStyleInParams}
	return nil
}

// githubScopes asks for no more than the rules need.
func githubScopes(l *config.Login) []string {
	scopes := []string{"read:org"}
	if wantsEmails(l) {
		scopes = append(scopes, "user:email")
	}
	return scopes
}

func wantsEmails(l *config.Login) bool {
	return slices.ContainsFunc(l.Roles, func(r config.RoleRule) bool { return len(r.Emails)+len(r.Domains) > 0 })
}

// githubAPI is where the REST API of a GitHub is.
func githubAPI(url string) string {
	if url == githubCom {
		return "https://api.github.com"
	}
	return url + "/api/v3"
}

// githubPerson asks who the token is of, and which organisations and teams that one is in. The token is used for nothing else.
func (p *provider) githubPerson(ctx context.Context, token *oauth2.Token) (*Person, *Fault) {
	granted, _ := token.Extra("scope").(string)
	for _, want := range p.oauth.Scopes {
		if !slices.Contains(strings.FieldsFunc(granted, func(r rune) bool { return r == ',' || r == ' ' }), want) {
			return nil, refuse(http.StatusForbidden, "GitHub did not grant the scope %s, without which your roles cannot be found: begin again and allow it.", want)
		}
	}
	g := &githubClient{client: p.client, api: githubAPI(p.login.GitHub.URL), token: token.AccessToken}
	var user struct {
		Login string `json:"login"`
	}
	_, err := g.get(ctx, g.api+"/user", &user)
	if err == nil && !isGithubLogin(user.Login) {
		err = errors.New("GitHub names no user")
	}
	out := &Person{Kind: access.KindGitHub, Name: user.Login}
	if err == nil {
		out.Groups, err = g.groups(ctx)
	}
	if err == nil && wantsEmails(p.login) {
		out.Emails, err = g.emails(ctx)
	}
	var refusal *githubError
	switch {
	case errors.As(err, &refusal) && refusal.status == http.StatusUnauthorized:
		return nil, &Fault{Status: http.StatusBadGateway, Message: "GitHub does not take the token that it has just given: the application was revoked or suspended. Begin again, or ask whoever runs this gateway.", Cause: err}
	case errors.As(err, &refusal) && refusal.status == http.StatusForbidden:
		return nil, &Fault{Status: http.StatusForbidden, Message: "GitHub does not let the application see your organisations and teams: an owner may have to approve it.", Cause: err}
	case err != nil:
		return nil, away(p.login, "does not say who you are", err)
	}
	return out, nil
}

func isGithubLogin(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

type githubClient struct {
	client *http.Client
	api    string
	token  string
}

type githubError struct{ status int }

// Error says the status: GitHub's words are left out.
func (e *githubError) Error() string { return fmt.Sprintf("GitHub has answered status %d", e.status) }

// groups are organisations as acme, and teams as acme/search. Only memberships that were accepted count.
func (g *githubClient) groups(ctx context.Context) (out []string, err error) {
	type organisation struct {
		Login string `json:"login"`
	}
	err = pages(ctx, g, "/user/memberships/orgs?state=active&per_page=100", func(m struct {
		State        string       `json:"state"`
		Organization organisation `json:"organization"`
	}) {
		if m.State == "active" {
			out = append(out, m.Organization.Login)
		}
	})
	if err != nil {
		return nil, err
	}
	err = pages(ctx, g, "/user/teams?per_page=100", func(t struct {
		Slug         string       `json:"slug"`
		Organization organisation `json:"organization"`
	}) {
		out = append(out, t.Organization.Login+"/"+t.Slug)
	})
	return out, err
}

// emails are the verified ones.
func (g *githubClient) emails(ctx context.Context) (out []string, err error) {
	err = pages(ctx, g, "/user/emails?per_page=100", func(e struct {
		Email    string `json:"email"`
		Verified bool   `json:"verified"`
	}) {
		if e.Verified {
			out = append(out, strings.ToLower(e.Email))
		}
	})
	return out, err
}

// pages reads a list to its end.
func pages[T any](ctx context.Context, g *githubClient, path string, each func(T)) error {
	next := g.api + path
	for range githubPages {
		var list []T
		link, err := g.get(ctx, next, &list)
		if err != nil {
			return err
		}
		for _, one := range list {
			each(one)
		}
		if next = nextPage(link); next == "" {
			return nil
		}
		// The token goes to GitHub's API and nowhere else, whatever a header says.
		if !strings.HasPrefix(next, g.api+"/") {
			return errors.New("GitHub's next page is not on GitHub")
		}
	}
	return fmt.Errorf("GitHub's list at %s has more than %d pages", path, githubPages)
}

// get reads one answer and says which page is next.
func (g *githubClient) get(ctx context.Context, address string, into any) (link string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("authorization", "Bearer "+g.token)
	r.Header.Set("accept", "application/vnd.github+json")
	r.Header.Set("x-github-api-version", githubVersion)
	resp, err := g.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", &githubError{resp.StatusCode}
	}
	return resp.Header.Get("link"), json.NewDecoder(resp.Body).Decode(into)
}

// nextPage reads the header Link (RFC 8288).
func nextPage(header string) string {
	for _, part := range strings.Split(header, ",") {
		target, parameters, ok := strings.Cut(part, ";")
		target = strings.TrimSpace(target)
		if ok && strings.Contains(parameters, `rel="next"`) && strings.HasPrefix(target, "<") && strings.HasSuffix(target, ">") {
			if u, err := url.Parse(target[1 : len(target)-1]); err == nil && u.IsAbs() {
				return u.String()
			}
		}
	}
	return ""
}
