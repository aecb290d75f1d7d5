package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"dragoman/test/harness"
	"dragoman/test/sdk"
)

// TestFrameworksWithEachProvider: what LangChain, LlamaIndex and Vercel's AI SDK send and want is not what the SDKs beneath them do.
// The same cases run straight against the fake providers in test/sdk.
func TestFrameworksWithEachProvider(t *testing.T) {
	g := harness.Shared(t, everyone)
	owners := map[string]string{}
	var models []string
	for _, provider := range chatProviders {
		model := g.Fakes[provider].Model()
		owners[model], models = provider, append(models, model)
	}
	for _, f := range sdk.Frameworks {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			at := map[string]sdk.Served{}
			for client := range f.Clients {
				at[client] = sdk.Served{URL: g.URL, Key: "sk-client", Models: models}
			}
			report, err := f.Run(ctx, at)
			if err != nil {
				t.Fatal(err)
			}
			if want := f.Cases * len(f.Clients) * len(models); len(report) != want {
				t.Errorf("%d cases ran, want %d", len(report), want)
			}
			for name, result := range report {
				part := strings.SplitN(name, "/", 3) // client, case, model
				if result != "ok" {
					t.Errorf("to %s: %s: %s", owners[part[2]], name, result)
				}
			}
		})
	}
}
