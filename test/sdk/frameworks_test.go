package sdk

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"dragoman/test/fakeprovider"
)

// wrongModel is the one that no case may be content with.
var wrongModel = map[string]string{
	"openai": "gpt-4.1-mini", "responses": "gpt-4.1-mini", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-3-pro-preview",
}

// fetchHeaders are what Node's fetch adds to every request.
var fetchHeaders = []string{"accept-language", "sec-fetch-mode"}

// TestFrameworksAgainstTheFakes is the control of what they do through the gateway: straight to a provider of the schema that
// each client speaks. Each asks two models; the second answers wrongly, which every case must notice.
func TestFrameworksAgainstTheFakes(t *testing.T) {
	served, headers := map[string]Served{}, slices.Concat(fakeprovider.SDKHeaders, fetchHeaders)
	for schema, wrong := range wrongModel {
		f := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Schema(schema), AllowHeaders: headers})
		f.Script(fakeprovider.Rule{
			Match: func(r *fakeprovider.Request) bool {
				return r.Get("model").Str == wrong || strings.Contains(r.Path, "/"+wrong+":")
			},
			Reply: &fakeprovider.Reply{Blocks: fakeprovider.Text("something else").Blocks, NoUsage: true},
		})
		served[schema] = Served{URL: f.Origin(), Key: f.Key(), Models: []string{f.Model(), wrong}}
	}
	for _, f := range Frameworks {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			at := map[string]Served{}
			for client, schema := range f.Clients {
				at[client] = served[schema]
			}
			report, err := f.Run(ctx, at)
			if err != nil {
				t.Fatal(err)
			}
			if want := 2 * f.Cases * len(f.Clients); len(report) != want {
				t.Errorf("%d cases ran, want %d", len(report), want)
			}
			for name, result := range report {
				part := strings.SplitN(name, "/", 3) // client, case, model
				wrong := part[2] == wrongModel[f.Clients[part[0]]]
				if !wrong && result != "ok" {
					t.Errorf("%s: %s", name, result)
				}
				if wrong && result == "ok" {
					t.Errorf("%s takes a wrong answer", name)
				}
			}
		})
	}
}

func TestFrameworksThatAreNotInstalled(t *testing.T) {
	t.Setenv(EnvFrameworks, t.TempDir())
	for _, f := range Frameworks {
		if _, err := f.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "make sdk") {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}
