package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Remote is the admin port of a running gateway. The zero value is none: then a command works with the database of the configuration.
type Remote struct {
	URL   string
	Token string
	CA    string // PEM file; "": the system's roots
}

const (
	remoteTimeout = 30 * time.Second
	maxRemote     = 64 << 20 // bytes of an answer
)

// base is the URL without what does not belong there.
func (r Remote) base() string {
	base := strings.TrimSuffix(r.URL, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	return base
}

// client follows no redirect: the token goes to the gateway and nowhere else.
func (r Remote) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if r.CA != "" {
		pem, err := os.ReadFile(r.CA)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", r.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: remoteTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// do sends a request and reads its answer whole.
func (r Remote) do(ctx context.Context, method, path string, query url.Values, body []byte) (code int, answer []byte, err error) {
	client, err := r.client()
	if err != nil {
		return 0, nil, err
	}
	defer client.CloseIdleConnections()
	address := r.base() + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if r.Token != "" {
		if u := req.URL; u.Scheme != "https" && !onThisMachine(u.Hostname()) {
			return 0, nil, errors.New("the token would go to another machine in clear text: name the gateway's admin port by https://")
		}
		req.Header.Set("authorization", "Bearer "+r.Token)
	}
	if body != nil {
		req.Header.Set("content-type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("the gateway's admin port does not answer: %w", err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxRemote))
	return resp.StatusCode, answer, err
}

func onThisMachine(host string) bool {
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
}

// call calls a method of the admin API as HTTP/JSON; in is nil for GET.
func (r Remote) call(ctx context.Context, method, path string, query url.Values, in, out proto.Message) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = protojson.Marshal(in); err != nil {
			return err
		}
	}
	code, answer, err := r.do(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	if code == http.StatusOK {
		return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(answer, out)
	}
	var refusal spb.Status
	if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(answer, &refusal) == nil && refusal.Message != "" {
		return fmt.Errorf("the gateway's admin port says: %s", refusal.Message)
	}
	return fmt.Errorf("the gateway's admin port has answered status %d", code)
}
