package ops

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

func authority(t testing.TB) *fakeprovider.CA {
	t.Helper()
	ca, err := fakeprovider.NewCA()
	must(t, err)
	return ca
}

// secure is a gateway with TLS towards its clients. more is added to listen.tls.
func secure(t *testing.T, ca *fakeprovider.CA, dir, more string) (g *harness.Gateway, host string) {
	t.Helper()
	_, _, err := ca.WritePair(dir, "server", "127.0.0.1", "one.test")
	must(t, err)
	g = harness.Start(t, harness.Options{Config: fmt.Sprintf("listen: {address: '127.0.0.1:0', tls: {certificate: %s/server.pem, private_key: %s/server.key%s}}\n{{providers}}", dir, dir, more)})
	return g, strings.TrimPrefix(g.URL, "http://")
}

// tlsClient is a client of its own, whose connections the test ends.
func tlsClient(t testing.TB, c *tls.Config, http2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func secureAsk(t testing.TB, client *http.Client, host string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+host+chatPath, strings.NewReader(question("openai/gpt-4.1", "safe")))
	must(t, err)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %v %s", resp.StatusCode, err, body)
	}
	return resp, nil
}

// TestListenerTLS serves HTTP/2 and HTTP/1.1 by ALPN, refuses cleartext and old TLS, and takes a rotated certificate for new
// connections while old ones live on.
func TestListenerTLS(t *testing.T) {
	ca, dir := authority(t), t.TempDir()
	g, host := secure(t, ca, dir, "")
	old := tlsClient(t, &tls.Config{RootCAs: ca.Pool()}, true)
	resp, err := secureAsk(t, old, host)
	must(t, err)
	if resp.Proto != "HTTP/2.0" {
		t.Errorf("by ALPN: %s", resp.Proto)
	}
	serial := resp.TLS.PeerCertificates[0].SerialNumber
	resp, err = secureAsk(t, tlsClient(t, &tls.Config{RootCAs: ca.Pool(), NextProtos: []string{"http/1.1"}}, false), host)
	must(t, err)
	if resp.Proto != "HTTP/1.1" {
		t.Errorf("without h2: %s", resp.Proto)
	}
	if _, err := secureAsk(t, tlsClient(t, &tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, false), host); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if r := ask(t, g.URL, chatPath, question("openai/gpt-4.1", "x")); r.err == nil && r.status == 200 {
		t.Error("cleartext is served")
	}

	_, _, err = ca.WritePair(dir, "server", "127.0.0.1", "two.test")
	must(t, err)
	eventually(t, 8*time.Second, "no new certificate", func() error {
		fresh := tlsClient(t, &tls.Config{RootCAs: ca.Pool()}, true)
		resp, err := secureAsk(t, fresh, host)
		if err != nil {
			return err
		}
		if names := resp.TLS.PeerCertificates[0].DNSNames; names[0] != "two.test" {
			return fmt.Errorf("certificate for %v", names)
		}
		return nil
	})
	resp, err = secureAsk(t, old, host)
	must(t, err)
	if resp.TLS.PeerCertificates[0].SerialNumber.Cmp(serial) != 0 {
		t.Error("the old connection was closed by the rotation")
	}

	// A certificate that does not fit its key is a faulty configuration: the last good one stays.
	write(t, filepath.Join(dir, "server.pem"), "no certificate")
	eventually(t, 5*time.Second, "the fault is not seen", func() error {
		if e := status(t, g).Get("config.last_error").String(); !strings.Contains(e, "listen.tls.certificate") {
			return fmt.Errorf("last_error %q", e)
		}
		return nil
	})
	_, err = secureAsk(t, tlsClient(t, &tls.Config{RootCAs: ca.Pool()}, true), host)
	must(t, err)
}

// TestClientCertificates: optional ones are verified when there are any, required ones must be there.
func TestClientCertificates(t *testing.T) {
	ca, clients, strangers := authority(t), authority(t), authority(t)
	good, err := clients.Issue("client.test")
	must(t, err)
	bad, err := strangers.Issue("client.test")
	must(t, err)
	for _, required := range []bool{false, true} {
		t.Run(fmt.Sprintf("required=%t", required), func(t *testing.T) {
			dir := t.TempDir()
			path, err := clients.WriteFile(dir)
			must(t, err)
			_, host := secure(t, ca, dir, fmt.Sprintf(", client_ca: %s, require_client_certificate: %t", path, required))
			with := func(certificates ...tls.Certificate) error {
				c := &tls.Config{RootCAs: ca.Pool()}
				if len(certificates) > 0 {
					// Sent even when the server does not list its authority, as a misconfigured client does.
					c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificates[0], nil }
				}
				_, err := secureAsk(t, tlsClient(t, c, true), host)
				return err
			}
			if err := with(good); err != nil {
				t.Errorf("a good certificate: %v", err)
			}
			if err := with(bad); err == nil {
				t.Error("a stranger's certificate is taken")
			}
			if err := with(); (err != nil) != required {
				t.Errorf("without a certificate: %v", err)
			}
		})
	}
}

// TestUpstreamTLS verifies a provider by its own authority and name, and says why when that fails.
func TestUpstreamTLS(t *testing.T) {
	right, wrong := authority(t), authority(t)
	wrongFile, err := wrong.WriteFile(t.TempDir())
	must(t, err)
	provider := func(name, tls, more string) string {
		return fmt.Sprintf("- {name: %s, schema: openai, endpoint: '{{endpoint \"secure\"}}', credentials: [{secret: {env: FAKE_KEY_SECURE}}], models: [gpt-4.1], tls: {%s}%s}\n", name, tls, more)
	}
	dir := t.TempDir()
	rightFile, err := right.WriteFile(dir)
	must(t, err)
	g := harness.Start(t, harness.Options{
		Fakes: []fakeprovider.Options{{Schema: fakeprovider.OpenAI, Name: "secure", CA: right}},
		Config: "retry: {max_attempts: 1}\nproviders:\n" + provider("good", "ca: "+rightFile, "") + provider("http1", "ca: "+rightFile, ", http: http1") +
			provider("name", "ca: "+rightFile+", server_name: localhost", "") + provider("wrongca", "ca: "+wrongFile, "") +
			provider("wrongname", "ca: "+rightFile+", server_name: elsewhere.test", "") + provider("system", "", ""),
	})
	fake := g.Fakes["secure"]
	for name, proto := range map[string]string{"good": "HTTP/2.0", "http1": "HTTP/1.1", "name": "HTTP/2.0"} {
		wantOK(t, ask(t, g.URL, chatPath, question(name+"/gpt-4.1", "safe")), "echo: safe")
		if got := fake.Last().Proto; got != proto {
			t.Errorf("%s: %s, want %s", name, got, proto)
		}
	}
	before := fake.Counters().Requests
	for name, want := range map[string]string{"wrongca": "CERTIFICATE_VERIFY_FAILED", "wrongname": "SAN", "system": "CERTIFICATE_VERIFY_FAILED"} {
		for _, path := range []string{chatPath, messagesPath} {
			r := ask(t, g.URL, path, question(name+"/gpt-4.1", "x"))
			if r.status != 503 || !strings.Contains(r.body, name) || !strings.Contains(strings.ToUpper(r.body), "TLS") || !strings.Contains(r.body, want) {
				t.Errorf("%s: want a 503 that says %s: %d %s", name, want, r.status, r.body)
			}
		}
	}
	if fake.Counters().Requests != before {
		t.Error("a request reached a provider that was not verified")
	}
}
