package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"dragoman/test/harness"
	"dragoman/test/sdk"
)

// pairs are the models that stand for each provider schema.
var schemas = []string{"openai", "anthropic"}

func TestGoSDKsWithEachProvider(t *testing.T) {
	g := harness.Shared(t, "")
	ran := 0
	for _, provider := range schemas {
		model := provider + "/" + g.Fakes[provider].Model()
		for _, c := range sdk.Cases() {
			if c.Native && c.Client != provider {
				continue
			}
			ran++
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
	model := func(provider string) string { return provider + "/" + g.Fakes[provider].Model() }
	type run struct {
		client string
		models []string
		native bool
	}
	for _, r := range []run{
		{"openai", []string{model("openai")}, true}, {"openai", []string{model("anthropic")}, false},
		{"anthropic", []string{model("anthropic")}, true}, {"anthropic", []string{model("openai")}, false},
	} {
		t.Run(r.client+" to "+strings.Join(r.models, ","), func(t *testing.T) {
			report, err := sdk.Python(ctx, g.Target("sk-client", ""), r.models, sdk.PythonOptions{Client: r.client, Native: r.native})
			if err != nil {
				t.Fatal(err)
			}
			if len(report) < 20 {
				t.Errorf("only %d cases ran", len(report))
			}
			for name, result := range report {
				if result != "ok" {
					t.Errorf("%s: %s", name, result)
				}
			}
			g.CheckFakes(t)
		})
	}
}
