package fetch

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var pngBytes = []byte("\x89PNG\r\n\x1a\n rest of a picture")

// server listens on a loopback address of its own, which alone is allowed.
func server(t *testing.T, handle http.HandlerFunc) (f *Fetcher, url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: handle}}
	s.Start()
	t.Cleanup(s.Close)
	f = New(Options{MaxBytes: 1000, Timeout: 300 * time.Millisecond, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}})
	t.Cleanup(f.Close)
	return f, s.URL
}

func kindOf(t *testing.T, err error) fault.Kind {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Message == "" || f.Param != "messages[0].content[1]" {
		t.Fatalf("want a fault about the field, got %v", err)
	}
	return f.Kind
}

const param = "messages[0].content[1]"

func TestGet(t *testing.T) {
	f, url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/html") // what a server calls it counts for nothing (D66)
		w.Write(pngBytes)
	})
	file, err := f.Get(t.Context(), param, url+"/a.jpeg")
	if err != nil || file.Type != "image/png" || file.Data != base64.StdEncoding.EncodeToString(pngBytes) {
		t.Errorf("%+v %v", file, err)
	}
}

func TestTypes(t *testing.T) {
	for want, b := range map[string]string{
		"image/png": string(pngBytes), "image/jpeg": "\xff\xd8\xff\xe0", "image/gif": "GIF89a", "image/webp": "RIFF1234WEBPVP8 ", "application/pdf": "%PDF-1.7",
		"audio/wav": "RIFF1234WAVEfmt ", "audio/mpeg": "ID3\x04", "": "<!DOCTYPE html><html>",
	} {
		if got := sniff([]byte(b)); got != want {
			t.Errorf("%q: %q", b, got)
		}
	}
	if sniff([]byte("\xff\xfb\x90\x00")) != "audio/mpeg" || sniff(nil) != "" || sniff([]byte("<svg xmlns='x'/>")) != "" {
		t.Error("bare frames are sound; nothing and scripts are not")
	}
}

// Nothing of the gateway's own network can be reached, by whatever name.
func TestPrivateAddressesAreRefused(t *testing.T) {
	var asked atomic.Int32
	secret := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Write(pngBytes)
	}))
	defer secret.Close()
	port := secret.Listener.Addr().(*net.TCPAddr).Port
	f := New(Options{MaxBytes: 1000, Timeout: time.Second})
	defer f.Close()
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "127.1", "169.254.169.254", "10.0.0.1",
		"192.168.1.1", "172.16.0.1", "100.64.0.1", "[fe80::1]", "[fc00::1]", "[64:ff9b::7f00:1]",
	} {
		for _, at := range []string{fmt.Sprintf("http://%s:%d/", host, port), "http://" + host + "/", "https://" + host + "/latest/meta-data/"} {
			file, err := f.Get(t.Context(), param, at)
			if file != nil || kindOf(t, err) != fault.InvalidRequest || strings.Contains(err.Error(), host) {
				t.Errorf("%s: %v %v", at, file, err)
			}
		}
	}
	if asked.Load() != 0 {
		t.Error("a private server was asked")
	}
}

func TestOtherPortsOfPublicHostsAreRefused(t *testing.T) {
	f := New(Options{MaxBytes: 1000, Timeout: time.Second})
	defer f.Close()
	if _, err := f.Get(t.Context(), param, "http://1.1.1.1:22/"); kindOf(t, err) != fault.InvalidRequest {
		t.Error(err)
	}
}

func TestRedirects(t *testing.T) {
	secret := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { t.Error("the redirect was followed") }))
	defer secret.Close()
	f, url := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/private":
			http.Redirect(w, r, secret.URL, http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/once":
			http.Redirect(w, r, "/", http.StatusFound)
		default:
			w.Write(pngBytes)
		}
	})
	for _, path := range []string{"/private", "/file", "/loop"} {
		if _, err := f.Get(t.Context(), param, url+path); kindOf(t, err) != fault.InvalidRequest {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := f.Get(t.Context(), param, url+"/once"); err != nil {
		t.Error(err)
	}
}

func TestBounds(t *testing.T) {
	f, url := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/announced":
			w.Header().Set("content-length", "100000")
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(pngBytes); err != nil {
					return
				}
			}
		case "/slow":
			for r.Context().Err() == nil {
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/page":
			w.Write([]byte("<html>"))
		}
	})
	for path, want := range map[string]fault.Kind{
		"/announced": fault.TooLarge, "/endless": fault.TooLarge, "/slow": fault.UploadTimeout, "/missing": fault.InvalidRequest, "/page": fault.InvalidRequest,
		"/empty": fault.InvalidRequest,
	} {
		if _, err := f.Get(t.Context(), param, url+path); kindOf(t, err) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, bad := range []string{"", "ftp://example.com/", "file:///etc/passwd", "http://", "//host/x", "http://user:pw@example.com/", "http://[::1", "data:,x"} {
		if _, err := f.Get(t.Context(), param, bad); kindOf(t, err) != fault.InvalidRequest {
			t.Errorf("%s: %v", bad, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Get(ctx, param, url); err == nil {
		t.Error("a client that is gone is still served")
	}
}
