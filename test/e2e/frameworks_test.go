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
func TestFrameworksWithEachProvider(t *testing.T) {
	g := harness.Shared(t, everyone)
	owners := map[string]string{}
	var models []string
	for _, provider := range chatProviders {
		model := g.Fakes[provider].Model()
		owners[model], models = provider, append(models, model)
	}
	for name, run := range map[string]struct {
		run   func(context.Context, sdk.Target, []string) (map[string]string, error)
		least int
	}{
		"LangChain and LlamaIndex": {sdk.LangChainAndLlamaIndex, 6 * 6},
		"Vercel AI SDK":            {sdk.VercelAI, 4 * 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			report, err := run.run(ctx, g.Target("sk-client", ""), models)
			if err != nil {
				t.Fatal(err)
			}
			if len(report) != run.least*len(models) {
				t.Errorf("%d cases ran, want %d", len(report), run.least*len(models))
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
