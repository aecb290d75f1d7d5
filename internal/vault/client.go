// Package vault reads secrets of HashiCorp Vault or OpenBao (KV engine, version 2) for the configuration: it logs in, keeps its token
// alive, reads what the configuration refers to, and reads it anew so that a rotation is seen. It speaks the HTTP API itself
// (https://developer.hashicorp.com/vault/api-docs): seven calls, each bounded, whose token never goes to a server that has not shown to be
// the one configured.
package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/config"
)

const (
	// maxAnswer is more than Vault stores in one entry (512 KiB by default in Raft, 1 MiB at most).
	maxAnswer = 1<<20 + 64<<10
	maxHeader = 64 << 10
	maxTries  = 3 // of one request, for as long as its time lasts
	firstWait = 100 * time.Millisecond
	// rootHeader is what proxies that guard Vault against forged requests of browsers look for.
	rootHeader = "X-Vault-Request"
)

// client sends requests to one server. It holds no token.
type client struct {
	v    *config.Vault
	base *url.URL
	http *http.Transport // itself, and no http.Client: that would follow redirects, or read them
}

func newClient(v *config.Vault) *client {
	base, err := url.Parse(v.Address)
	if err != nil {
		base = &url.URL{} // no request leaves without a host; config has refused this address
	}
	name := v.ServerName
	if name == "" {
		name = base.Hostname()
	}
	// The name is fixed: whoever a redirect leads to must show a certificate for it, or gets no token.
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	if v.CA != nil {
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM(v.CA)
	}
	return &client{v: v, base: base, http: &http.Transport{ // no proxy of the environment: it would see the token of a server in clear
		DialContext: (&net.Dialer{Timeout: v.Timeout}).DialContext, TLSClientConfig: conf, ForceAttemptHTTP2: true,
		MaxIdleConns: parallel, MaxIdleConnsPerHost: parallel, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: v.Timeout, MaxResponseHeaderBytes: maxHeader, DisableCompression: true,
	}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// reply is an answer as it came.
type reply struct {
	status int
	body   []byte // JSON
}

// call sends one request, again if that may help, within the configured time. in is its body, nil for none. The error is an *Error
// for everything but a status below 300.
func (c *client) call(ctx context.Context, method, path, token string, in any) ([]byte, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, failure(Invalid, "the request cannot be written")
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.v.Timeout)
	defer cancel()
	for try, wait := 1, firstWait; ; try, wait = try+1, 3*wait {
		out, retryAfter, err := c.try(ctx, method, path, token, body)
		var e *Error
		if err == nil || !errors.As(err, &e) || !e.again || try == maxTries {
			return out, err
		}
		pause := max(wait, retryAfter)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
			return nil, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		case <-timer.C:
		}
	}
}

// try sends a request once, and to the active server of the cluster where a standby names it.
func (c *client) try(ctx context.Context, method, path, token string, body []byte) (out []byte, retryAfter time.Duration, err error) {
	at := c.base.JoinPath("v1", path)
	for hop := 0; ; hop++ {
		resp, err := c.send(ctx, method, at, token, body)
		if err != nil {
			return nil, 0, c.away(ctx, err)
		}
		r, err := c.readReply(ctx, resp)
		if err != nil {
			return nil, 0, err
		}
		if resp.StatusCode != http.StatusTemporaryRedirect && resp.StatusCode != http.StatusPermanentRedirect {
			if r.status < 300 {
				return r.body, 0, nil
			}
			return nil, retryTime(resp.Header), c.refusal(r, token, body)
		}
		if hop > 0 {
			return nil, 0, failure(Invalid, "%s redirects more than once", c.v.Address)
		}
		if at, err = c.follow(at, resp.Header.Get("Location"), path); err != nil {
			return nil, 0, err
		}
	}
}

func (c *client) send(ctx context.Context, method string, at *url.URL, token string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set(rootHeader, "true")
	req.Header.Set("User-Agent", "dragoman")
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	if c.v.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", c.v.Namespace)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.http.RoundTrip(req)
}

// readReply takes in what is JSON or nothing. Anything else comes from a proxy, a login page or another program.
func (c *client) readReply(ctx context.Context, resp *http.Response) (reply, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return reply{}, c.away(ctx, err)
	}
	if resp.StatusCode == http.StatusTemporaryRedirect || resp.StatusCode == http.StatusPermanentRedirect {
		return reply{status: resp.StatusCode}, nil
	}
	if len(body) > maxAnswer {
		return reply{}, failure(Invalid, "%s answered with more than %d bytes", c.v.Address, maxAnswer)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if len(bytes.TrimSpace(body)) > 0 && kind != "application/json" {
		e := failure(Invalid, "%s answered with %d and something that is not JSON: is it Vault?", c.v.Address, resp.StatusCode)
		e.again = resp.StatusCode >= 500 // of a load balancer that has no server at the moment
		if e.again {
			e.Kind = Away
		}
		return reply{}, e
	}
	return reply{resp.StatusCode, body}, nil
}

// follow allows what a standby says when it does not forward by itself: the same request, to another server of the same cluster. In
// clear nobody can show who he is, so only the same machine will do.
func (c *client) follow(from *url.URL, location, path string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil || location == "" || to.User != nil || to.RawQuery != "" || to.Fragment != "" || to.Hostname() == "" ||
		to.Path != from.Path && to.Path != "/v1/"+path {
		return nil, failure(Invalid, "%s redirects to something else than the same request", c.v.Address)
	}
	if to.Scheme != from.Scheme || to.Scheme == "http" && to.Hostname() != from.Hostname() && !(loopback(to.Hostname()) && loopback(from.Hostname())) {
		return nil, failure(Invalid, "%s redirects to %s://%s, which cannot show to be the same Vault: name the active server, or use https", c.v.Address, to.Scheme, to.Host)
	}
	return to, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func retryTime(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// away says why there was no answer.
func (c *client) away(ctx context.Context, err error) *Error {
	text := err.Error()
	var timeout net.Error
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		text = fmt.Sprintf("no answer within %s", c.v.Timeout)
	} else if ctx.Err() != nil {
		text = "given up"
	}
	e := failure(Away, "%s cannot be reached: %s", c.v.Address, clip(text))
	e.again = true
	return e
}

// refusal says what a status means. https://developer.hashicorp.com/vault/api-docs#http-status-codes
func (c *client) refusal(r reply, token string, sent []byte) *Error {
	said := c.said(r.body, token, sent)
	e := &Error{Status: r.status}
	switch r.status {
	case http.StatusForbidden, http.StatusUnauthorized:
		e.Kind, e.Text = Denied, or(said, "permission denied")
	case http.StatusNotFound:
		e.Kind, e.Text, e.body = Missing, said, r.body
	case http.StatusTooManyRequests:
		e.Kind, e.Text, e.again = Limited, fmt.Sprintf("%s limits requests: %s", c.v.Address, or(said, "too many")), true
	case http.StatusServiceUnavailable:
		if strings.Contains(strings.ToLower(said), "sealed") {
			e.Kind, e.Text = Sealed, fmt.Sprintf("%s is sealed", c.v.Address)
			return e
		}
		fallthrough
	default:
		// 412: a replica lags behind. 472, 473: a standby that does not forward. 501: not initialised.
		e.Kind, e.Text = Invalid, or(said, fmt.Sprintf("%s answered with %d", c.v.Address, r.status))
		if r.status >= 500 || r.status == 412 || r.status == 472 || r.status == 473 {
			e.Kind, e.again = Away, r.status != http.StatusNotImplemented
			e.Text = fmt.Sprintf("%s answered with %d: %s", c.v.Address, r.status, or(said, "it does not serve"))
		}
	}
	return e
}

// said is what the server's own errors say, without what was sent to it.
func (c *client) said(body []byte, token string, sent []byte) string {
	text := strings.Join(decodeErrors(body), "; ")
	// As Go's multi-error prints itself: "1 error occurred:\n\t* permission denied\n\n".
	text = strings.Join(strings.Fields(text), " ")
	if before, after, ok := strings.Cut(text, "occurred: * "); ok && len(before) < 12 {
		text = after
	}
	for _, secret := range append(secretsOf(sent), token) {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "(secret)")
		}
	}
	return clip(text)
}

// secretsOf lists the values that a login sent.
func secretsOf(sent []byte) (list []string) {
	var fields map[string]string
	if json.Unmarshal(sent, &fields) != nil {
		return nil
	}
	for name, value := range fields {
		if name != "role" {
			list = append(list, value)
		}
	}
	return list
}

// clip makes a text of somebody else's fit for a line of a log.
func clip(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(text), "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
