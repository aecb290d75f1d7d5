package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

const probeAllConfig = `{{providers}}
retry: {max_attempts: 2, per_try_timeout: 2s, idle_timeout: 1s, probe: all}
routes:
  - {model: safe, strategy: fallback, candidates: [openai/gpt-4.1, anthropic/claude-opus-4-5]}
`

// TestProbeAllFailsOverWholeAnswers: with probe: all a 200 that turns out to be none is retried too, which without it the client
// is told of.
func TestProbeAllFailsOverWholeAnswers(t *testing.T) {
	g := harness.Shared(t, probeAllConfig)
	for name, f := range map[string]fakeprovider.Fault{
		"cut JSON":     {Kind: fakeprovider.BadJSON},
		"empty":        {Kind: fakeprovider.EmptyBody},
		"cut":          {Kind: fakeprovider.Cut},
		"stalled":      {Kind: fakeprovider.Stall},
		"HTML":         {Kind: fakeprovider.HTML200},
		"nothing else": {Kind: fakeprovider.Delay},
	} {
		t.Run(name, func(t *testing.T) {
			if err := g.ResetFakes(); err != nil {
				t.Fatal(err)
			}
			// What the case before has taught Dragoman would send this one to the other provider at once.
			if err := g.RestartDragoman(t.Context()); err != nil {
				t.Fatal(err)
			}
			g.OpenAI().Fail(1, f)
			body := fmt.Sprintf(`{"model":"safe","messages":[{"role":"user","content":"hold %s"}]}`, name)
			resp, err := g.HTTP.Post(g.URL+"/v1/chat/completions", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, _ := io.ReadAll(resp.Body)
			attempts := "2"
			if f.Kind == fakeprovider.Delay {
				attempts = "" // a good answer passes the probe untouched
			}
			if resp.StatusCode != http.StatusOK || !strings.Contains(string(got), "echo: hold "+name) || resp.Header.Get("x-dragoman-attempts") != attempts {
				t.Errorf("%d after %q attempts: %s", resp.StatusCode, resp.Header.Get("x-dragoman-attempts"), got)
			}
		})
	}
}
