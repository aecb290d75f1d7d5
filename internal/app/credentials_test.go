package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/credential"
)

// What a server of one's own answers, or does instead, holds nobody up for long.
func TestFetchModels(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			_, _ = w.Write([]byte("models"))
		case "/moved":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/long":
			_, _ = w.Write(make([]byte, askBytes+1))
		case "/silent":
			<-r.Context().Done()
		}
	}))
	defer s.Close()
	t.Setenv("HTTP_PROXY", elsewhere.URL)
	if body, err := fetchModels(s.URL + "/ok"); err != nil || string(body) != "models" {
		t.Errorf("%q, %v", body, err)
	}
	begin := time.Now()
	for _, path := range []string{"/moved", "/missing", "/long", "/silent"} {
		if body, err := fetchModels(s.URL + path); err == nil {
			t.Errorf("%s: %d bytes and no error", path, len(body))
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if _, err := fetchModels("http://127.0.0.1:1/"); err == nil {
		t.Error("nobody answers, and that is no error")
	}
}

func TestPrintFound(t *testing.T) {
	var out strings.Builder
	printFound(&out, &config.Snapshot{Found: []config.Found{
		{Provider: "openai", Schema: "openai", Endpoint: "https://api.openai.com", Credential: "env OPENAI_API_KEY", Models: 12},
		{Provider: "groq", Schema: "openai", Lacks: "GROQ_API_KEY is not set"},
		{Provider: "ollama", Schema: "openai", Lacks: "no server answers at http://127.0.0.1:11434"},
	}})
	want := `provider   schema   endpoint                 credential           models
openai     openai   https://api.openai.com   env OPENAI_API_KEY   12
lacking  groq (GROQ_API_KEY), ollama (no server answers at http://127.0.0.1:11434)
`
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	if got := strings.Join(lines, "\n") + "\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Tokens are held for the configuration in force and for those that requests in flight still go by, and for no other.
func TestUseCredentials(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	a := &App{tokens: credential.New(ctx, credential.Options{Log: slog.New(slog.DiscardHandler), Source: func(g *config.Grant) credential.Source {
		return func(context.Context) (credential.Token, error) {
			return credential.Token{Value: "token of " + g.ID, Expires: time.Now().Add(time.Hour)}, nil
		}
	}})}
	defer a.tokens.Wait()
	defer stop()
	with := func(ids ...string) *config.Snapshot {
		s := &config.Snapshot{Clusters: []*config.Cluster{{}}}
		for _, id := range ids {
			s.Clusters = append(s.Clusters, &config.Cluster{SecretName: "credential/" + id, Grant: &config.Grant{ID: id}})
		}
		return s
	}
	wait := func(n int) map[string]string {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for len(a.tokens.Tokens()) != n {
			if time.Now().After(deadline) {
				t.Fatalf("holds %v, want %d", a.tokens.Tokens(), n)
			}
			time.Sleep(time.Millisecond)
		}
		return a.tokens.Tokens()
	}
	old, next := with("a", "b"), with("b", "c")
	a.useCredentials(old, nil)
	first := wait(2)
	a.useCredentials(next, []*config.Snapshot{old})
	both := wait(3)
	a.useCredentials(next, nil)
	if got := a.tokens.Tokens(); len(got) != 2 || got["c"] != "token of c" || got["a"] != "" {
		t.Errorf("holds %v", got)
	}
	pushed := built{tokens: first}
	if !pushed.sameTokens(first) || pushed.sameTokens(both) {
		t.Error("what was pushed is not told from what is to be")
	}
}
