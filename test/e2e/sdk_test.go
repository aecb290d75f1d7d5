package e2e

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"dragoman/test/harness"
	"dragoman/test/sdk"
)

// repaired are the cases of the OpenAI SDK that ask for a 400 which only OpenAI itself gives: towards Anthropic a tool result
// without its call is made text (D39).
func repaired(client, provider, name string) bool {
	return client == "openai" && provider == "anthropic" && strings.Contains(name, "bad request")
}

func TestGoSDKsWithEachProvider(t *testing.T) {
	g := harness.Shared(t, "")
	ran := 0
	for _, provider := range schemas {
		for _, c := range sdk.Cases() {
			if c.Native && c.Client != provider || repaired(c.Client, provider, c.Name) {
				continue
			}
			ran++
			model := provider + "/" + g.Fakes[provider].Model()
			if c.Name == "models" {
				model = g.Fakes[provider].Model() // the list has plain names
			}
			t.Run(c.Client+" to "+provider+"/"+c.Name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if err := c.Run(ctx, g.Target("sk-client", model)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if ran < 2*len(schemas)*10 {
		t.Errorf("only %d cases ran", ran)
	}
	g.CheckFakes(t)
}

func TestPythonSDKsWithEachProvider(t *testing.T) {
	g := harness.Shared(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, client := range schemas {
		for _, provider := range schemas {
			all.Go(func() {
				model := g.Fakes[provider].Model()
				report, err := sdk.Python(ctx, g.Target("sk-client", ""), []string{model}, sdk.PythonOptions{Client: client, Native: client == provider})
				if err != nil {
					t.Errorf("%s to %s: %v", client, provider, err)
				}
				if len(report) < 20 {
					t.Errorf("%s to %s: only %d cases ran", client, provider, len(report))
				}
				for name, result := range report {
					if result != "ok" && !repaired(client, provider, name) {
						t.Errorf("%s to %s: %s: %s", client, provider, name, result)
					}
				}
			})
		}
	}
	all.Wait()
	g.CheckFakes(t)
}
