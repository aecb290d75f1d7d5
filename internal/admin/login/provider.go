package login

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"dragoman/internal/config"
)

// provider is a login's provider, ready to be asked.
type provider struct {
	login  *config.Login
	base   string
	made   time.Time
	client *http.Client
	oauth  oauth2.Config
	oidc   *oidcProvider // nil for GitHub
}

// providerAge is how long what a provider has said of itself is taken for true.
const providerAge = time.Hour

// provider is that of a login: made anew for another configuration, and once in a while, for a provider may move its endpoints.
func (s *Logins) provider(ctx context.Context, l *config.Login) (*provider, *Fault) {
	base, now := s.o.Base(), s.o.Now()
	s.mu.Lock()
	p := s.providers[l.Name]
	s.mu.Unlock()
	if p != nil && p.login == l && p.base == base && now.Sub(p.made) < providerAge {
		return p, nil
	}
	p = &provider{login: l, base: base, made: now}
	p.oauth.RedirectURL = base + "/login/" + url.PathEscape(l.Name) + "/callback"
	var err error
	if l.OIDC != nil {
		err = p.discover(ctx, s)
	} else {
		err = p.github(s)
	}
	if err != nil {
		return nil, away(l, "does not answer", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.providers) >= mostProviders {
		clear(s.providers)
	}
	s.providers[l.Name] = p
	return p, nil
}

// authorize is where the person is sent.
func (p *provider) authorize(f *flow) string {
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(f.Verifier)}
	if p.oidc != nil {
		options = append(options, oauth2.SetAuthURLParam("nonce", f.Nonce))
	}
	return p.oauth.AuthCodeURL(f.State, options...)
}

// person asks the provider who has come back with a code.
func (p *provider) person(ctx context.Context, f *flow, code string) (*Person, *Fault) {
	if code == "" || len(code) > 4096 {
		return nil, refuse(http.StatusBadRequest, "The provider of the login %q has sent no code: begin again.", p.login.Name)
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.client)
	token, err := p.oauth.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return nil, p.exchangeFault(err)
	}
	if p.oidc != nil {
		return p.oidc.person(ctx, p, f, token)
	}
	return p.githubPerson(ctx, token)
}

// exchangeFault says what a provider has against the code, or against this client.
func (p *provider) exchangeFault(err error) *Fault {
	l := p.login
	var refusal *oauth2.RetrieveError
	if !errors.As(err, &refusal) || refusal.ErrorCode == "" {
		return away(l, "does not answer", withoutBody(err))
	}
	cause := fmt.Errorf("the provider says %s: %s", cut(refusal.ErrorCode), cut(refusal.ErrorDescription))
	switch refusal.ErrorCode {
	case "invalid_grant", "bad_verification_code":
		return &Fault{Status: http.StatusBadRequest, Message: "The provider does not take the code any more: begin again.", Cause: cause}
	case "invalid_client", "unauthorized_client", "incorrect_client_credentials", "application_suspended", "redirect_uri_mismatch":
		return &Fault{Status: http.StatusBadGateway, Message: fmt.Sprintf("The provider of the login %q does not know this gateway any more, or not under this address: "+
			"whoever runs it must look at client_id, client_secret and the callback URL %s.", l.Name, p.oauth.RedirectURL), Cause: cause}
	}
	return away(l, "has refused the login", cause)
}

// withoutBody keeps what a provider has answered, which may hold a token, out of the log.
func withoutBody(err error) error {
	var refusal *oauth2.RetrieveError
	if errors.As(err, &refusal) && refusal.Response != nil {
		return fmt.Errorf("the provider has answered status %d", refusal.Response.StatusCode)
	}
	return err
}

// maxAnswer bounds what is read of a provider's answer.
const maxAnswer = 4 << 20

// newClient is for one provider.
func newClient(ca []byte, version string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes, transport.MaxIdleConns, transport.IdleConnTimeout = 64<<10, 4, 30*time.Second
	if ca != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return nil, errors.New("ca holds no certificate")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: &bounded{transport, "dragoman/" + version}, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// bounded names the client and bounds what answers may hold.
type bounded struct {
	next  http.RoundTripper
	agent string
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("user-agent", b.agent)
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = &limited{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

type limited struct {
	io.Reader
	io.Closer
}
