package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseEndpoint(t *testing.T) {
	for _, c := range []struct {
		url, schema string
		want        endpoint
	}{
		{"https://api.openai.com", "openai", endpoint{"api.openai.com", 443, true, "/v1"}},
		{"https://API.OpenAI.com/", "openai", endpoint{"api.openai.com", 443, true, "/v1"}},
		{"https://x.example/openai/deployments/d%20e/", "openai", endpoint{"x.example", 443, true, "/openai/deployments/d%20e"}},
		{"http://localhost:11434", "openai", endpoint{"localhost", 11434, false, "/v1"}},
		{"http://[::1]:8000/v1", "openai", endpoint{"::1", 8000, false, "/v1"}},
		{"http://10.0.0.1", "openai", endpoint{"10.0.0.1", 80, false, "/v1"}},
		{"https://llm.svc.cluster.local./v1", "openai", endpoint{"llm.svc.cluster.local.", 443, true, "/v1"}},
		{"https://api.anthropic.com", "anthropic", endpoint{"api.anthropic.com", 443, true, "/v1"}},
		{"https://api.anthropic.com/v1/", "anthropic", endpoint{"api.anthropic.com", 443, true, "/v1"}},
		{"https://x.example/api/anthropic", "anthropic", endpoint{"x.example", 443, true, "/api/anthropic/v1"}},
	} {
		got, fault := parseEndpoint(c.url, schemaOf(c.schema).base)
		if fault != "" || got != c.want {
			t.Errorf("%s: got %+v, %s", c.url, got, fault)
		}
	}
}

func TestPathsMustBeClean(t *testing.T) {
	for _, path := range []string{"/a/../b", "/..", "/./a", "/a//b", "/%2e%2e/a", "/a/%2E", "/" + strings.Repeat("a", 300)} {
		if e, fault := parseEndpoint("https://x.example"+path, schemaOf("openai").base); !strings.Contains(fault, "not clean") {
			t.Errorf("%s: %+v, %s", path, e, fault)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "A9": true, "a.b_c-d": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, ".": false, "a b": false, "a/b": false, "é": false, "a\n": false, strings.Repeat("a", 64): false,
	} {
		if isName(name) != want {
			t.Errorf("isName(%q) = %t", name, !want)
		}
	}
	for name, want := range map[string]bool{
		"gpt-5-mini": true, "meta-llama/Llama-3.3:70b": true, "x@y+z": true, strings.Repeat("m", 128): true,
		"": false, "a b": false, `a"b`: false, "a*": false, "a,b": false, `a\b`: false, "a\x7f": false, "é": false, strings.Repeat("m", 129): false,
	} {
		if isModelName(name) != want {
			t.Errorf("isModelName(%q) = %t", name, !want)
		}
	}
}

// FuzzEndpoint: what is accepted is fit for Envoy's configuration and for a request's path, and what is refused is not shown.
func FuzzEndpoint(f *testing.F) {
	for _, url := range []string{"https://user:SECRET@x.example/v1?key=SECRET#SECRET", "http://[fe80::1%25eth0]:0/..//", "https://x.example/%2e%2e/a\r\nb", "HTTPS://ünï.example"} {
		f.Add(url, true)
		f.Add(url, false)
	}
	f.Fuzz(func(t *testing.T, url string, anthropic bool) {
		schema := schemaOf("openai")
		if anthropic {
			schema = schemaOf("anthropic")
		}
		e, fault := parseEndpoint(url, schema.base)
		if fault != "" {
			if strings.Contains(fault, "SECRET") {
				t.Errorf("shown: %s", fault)
			}
			return
		}
		if _, err := netip.ParseAddr(e.host); err != nil && strings.Trim(strings.ToLower(e.host), "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
			t.Errorf("%q: host %q", url, e.host)
		}
		if e.port == 0 || e.port > 65535 || !strings.HasPrefix(e.basePath, "/") || strings.HasSuffix(e.basePath, "/") {
			t.Errorf("%q: %+v", url, e)
		}
		for _, c := range e.basePath {
			if c <= ' ' || c > '~' || c == '?' || c == '#' {
				t.Errorf("%q: path %q", url, e.basePath)
			}
		}
	})
}
