package config

import (
	"strconv"
	"strings"
	"testing"
)

// What the vendors' own SDKs do with their variables is what happens here.
func TestDiscovery(t *testing.T) {
	for _, c := range []struct{ name, env, want string }{
		{"a key", "OPENAI_API_KEY=SECRET", "openai https api.openai.com:443 /v1 env OPENAI_API_KEY authorization=Bearer "},
		{"an empty key is none", "OPENAI_API_KEY=\nANTHROPIC_API_KEY=SECRET", "anthropic https api.anthropic.com:443 /v1 env ANTHROPIC_API_KEY x-api-key="},
		{"OpenAI's base URL holds its path", "OPENAI_API_KEY=SECRET\nOPENAI_BASE_URL=https://proxy.example/openai/v1/", "openai https proxy.example:443 /openai/v1 env OPENAI_API_KEY authorization=Bearer "},
		{"an empty base URL is none", "OPENAI_API_KEY=SECRET\nOPENAI_BASE_URL=", "openai https api.openai.com:443 /v1 env OPENAI_API_KEY authorization=Bearer "},
		{"Anthropic's base URL has no /v1", "ANTHROPIC_API_KEY=SECRET\nANTHROPIC_BASE_URL=http://proxy.example:81/a", "anthropic http proxy.example:81 /a/v1 env ANTHROPIC_API_KEY x-api-key="},
		{"or has it", "ANTHROPIC_API_KEY=SECRET\nANTHROPIC_BASE_URL=http://proxy.example:81/a/v1", "anthropic http proxy.example:81 /a/v1 env ANTHROPIC_API_KEY x-api-key="},
		{"a key goes before a token", "ANTHROPIC_API_KEY=SECRET\nANTHROPIC_AUTH_TOKEN=SECRET", "anthropic https api.anthropic.com:443 /v1 env ANTHROPIC_API_KEY x-api-key="},
		{"a token", "ANTHROPIC_AUTH_TOKEN=SECRET", "anthropic https api.anthropic.com:443 /v1 env ANTHROPIC_AUTH_TOKEN authorization=Bearer "},
		{"a server without a key", "OPENAI_BASE_URL=http://127.0.0.1:1/v1", "openai http 127.0.0.1:1 /v1 none ="},
		{"the vendor's own server without a key is not usable", "OPENAI_BASE_URL=https://API.openai.com/v1", "demo-openai http 127.0.0.1:1111 /v1 none ="},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustLoad(t, "", c.env)
			cl := s.Clusters[0]
			scheme := "http"
			if cl.TLS {
				scheme = "https"
			}
			got := strings.Join([]string{string(cl.Provider.Name), scheme, cl.Host + ":" + strconv.Itoa(int(cl.Port)), cl.BasePath, cl.Secret.String(), cl.Header + "=" + cl.Prefix}, " ")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Providers in the file are all there are: the environment adds none.
func TestNoDiscoveryBesideProviders(t *testing.T) {
	s := mustLoad(t, `providers: [{name: local, schema: openai, endpoint: "http://127.0.0.1:1"}]`, bothKeys)
	if len(s.Providers) != 1 || len(s.Found) != 1 || s.Demo {
		t.Errorf("got %v", s.Found)
	}
}

// A provider that could not be read must not let the demo answer in its place.
func TestNoDemoInPlaceOfAFault(t *testing.T) {
	for _, c := range [][2]string{{"providers: 7", ""}, {"providers: [{nam: x}]", ""}, {"", "OPENAI_BASE_URL=nonsense"}} {
		asked := false
		f, _ := Parse("c.yaml", []byte(c[0]))
		_, err := Compile(f, Options{Env: envOf(c[1]), Demo: func() (DemoEndpoints, error) { asked = true; return demoAt() }})
		if err == nil || asked {
			t.Errorf("%q: %v, demo asked for: %t", c, err, asked)
		}
	}
}

func TestFound(t *testing.T) {
	s := mustLoad(t, "", "ANTHROPIC_API_KEY=SECRET")
	if len(s.Found) != len(vendors) || s.Found[0].Provider != "anthropic" || s.Found[0].Models < 5 || s.Found[0].Lacks != "" ||
		s.Found[1].Provider != "openai" || s.Found[1].Lacks != "OPENAI_API_KEY is not set" || s.Found[1].Models != 0 {
		t.Errorf("got %+v", s.Found)
	}
}
