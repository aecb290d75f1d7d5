// Package fetch gets the images, documents and sounds that a request names by URL, for providers that take only bytes. The
// URL is the client's, so it is hostile until shown otherwise: every connection, redirects included, is checked after DNS
// resolution, and what comes is bounded and judged by its bytes, not by what its server calls it.
package fetch

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"code.dny.dev/ssrf"

	"dragoman/internal/fault"
)

const (
	maxRedirects  = 3
	maxConcurrent = 32 // fetches at once; more wait for their turn until their own deadline
	maxHeader     = 64 << 10
)

// Options of a Fetcher.
type Options struct {
	MaxBytes int64         // of one file
	Timeout  time.Duration // of one file, redirects included
	// Allow are networks that may be reached beside the public ones: an object store of one's own. On any port.
	Allow []netip.Prefix
}

// Fetcher gets files. It is safe for concurrent use.
type Fetcher struct {
	o      Options
	client *http.Client
	turns  chan struct{}
}

// New makes a Fetcher.
func New(o Options) *Fetcher {
	f := &Fetcher{o: o, turns: make(chan struct{}, maxConcurrent)}
	dialer := &net.Dialer{Timeout: o.Timeout, Control: guard(o.Allow)}
	f.client = &http.Client{
		Timeout: o.Timeout,
		Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, // a proxy would resolve names out of the guard's sight
			ForceAttemptHTTP2: true, MaxIdleConns: maxConcurrent, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: maxHeader, TLSHandshakeTimeout: o.Timeout,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errRedirects
			}
			return allowedURL(r.URL)
		},
	}
	return f
}

// Close ends idle connections.
func (f *Fetcher) Close() { f.client.CloseIdleConnections() }

// guard refuses private, loopback, link-local, metadata and other special addresses (IANA's registries), and ports other than
// 80 and 443, on every connection after its name was resolved.
func guard(allow []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	public := ssrf.New()
	return func(network, address string, c syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(address); err == nil {
			for _, p := range allow {
				if p.Contains(at.Addr().Unmap()) {
					return nil
				}
			}
		}
		return public.Safe(network, address, c)
	}
}

// File is what was got.
type File struct {
	Type string // by its bytes
	Data string // standard base64
}

// Get fetches one file. The error is a *fault.Fault about the client's field param: InvalidRequest for a URL that leads nowhere it
// may or to what is no media, TooLarge, or UploadTimeout.
func (f *Fetcher) Get(ctx context.Context, param, raw string) (*File, error) {
	u, err := url.Parse(raw)
	if err != nil || allowedURL(u) != nil {
		return nil, fault.Invalid(param, "The URL cannot be fetched: it must be http or https, name a host and hold no password.")
	}
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	select {
	case f.turns <- struct{}{}:
		defer func() { <-f.turns }()
	case <-ctx.Done():
		return nil, failed(param, ctx.Err())
	}
	body, err := f.body(ctx, u)
	if err != nil {
		return nil, failed(param, err)
	}
	kind := sniff(body)
	if kind == "" {
		return nil, fault.Invalid(param, "The URL leads to no image, PDF or sound of a known kind (png, jpeg, gif, webp, pdf, wav, mp3).")
	}
	return &File{Type: kind, Data: base64.StdEncoding.EncodeToString(body)}, nil
}

func (f *Fetcher) body(ctx context.Context, u *url.URL) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "dragoman")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errStatus
	}
	if resp.ContentLength > f.o.MaxBytes {
		return nil, errSize
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, f.o.MaxBytes+1))
	if err == nil && int64(len(body)) > f.o.MaxBytes {
		err = errSize
	}
	return body, err
}

var (
	errRedirects = errors.New("too many redirects")
	errURL       = errors.New("not a URL that may be fetched")
	errStatus    = errors.New("its server did not answer 200")
	errSize      = errors.New("too large")
)

func allowedURL(u *url.URL) error {
	if u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return errURL
	}
	return nil
}

// failed says what went wrong without what was found out about the gateway's own network.
func failed(param string, err error) *fault.Fault {
	var timeout net.Error
	switch {
	case errors.Is(err, errSize):
		f := fault.New(fault.TooLarge, "The file that the URL leads to is larger than this gateway fetches (media.fetch.max_bytes).")
		f.Param = param
		return f
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		f := fault.New(fault.UploadTimeout, "The file that the URL leads to did not arrive in time (media.fetch.timeout).")
		f.Param = param
		return f
	case errors.Is(err, errRedirects):
		return fault.Invalid(param, "The URL redirects more than %d times.", maxRedirects)
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedPort), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, errURL):
		return fault.Invalid(param, "The URL leads to an address that this gateway does not fetch from. Send the file's bytes instead.")
	case errors.Is(err, errStatus):
		return fault.Invalid(param, "The server of the URL did not answer 200. Send the file's bytes instead.")
	}
	return fault.Invalid(param, "The file that the URL leads to cannot be fetched. Send its bytes instead.")
}

// sniff is the type that the bytes show, "" for none that a provider takes.
func sniff(b []byte) string {
	switch kind := http.DetectContentType(b); kind {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf":
		return kind
	case "audio/wave":
		return "audio/wav"
	case "audio/mpeg":
		return "audio/mpeg"
	}
	if len(b) > 2 && b[0] == 0xFF && b[1]&0xE0 == 0xE0 { // an MPEG audio frame without ID3
		return "audio/mpeg"
	}
	return ""
}
