package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/harness"
	"dragoman/test/redisserver"
)

// turnConfig has a provider of each schema and two tenants.
func turnConfig(more string) string {
	return everyone + more + `
tenants:
- {name: acme, keys: [{name: k, hash: "` + config.HashKey(passAcmeKey) + `"}]}
- {name: beta, keys: [{name: k, hash: "` + config.HashKey(passBetaKey) + `"}]}
`
}

// turnGateway is one of several gateways of a test.
func turnGateway(t *testing.T, more string) *harness.Gateway {
	t.Helper()
	g, err := harness.New(t.Context(), harness.Options{Config: turnConfig(more)})
	must(t, err)
	t.Cleanup(func() {
		g.CheckFakes(t)
		must(t, g.Close())
	})
	return g
}

func respond(t *testing.T, g *harness.Gateway, key, model, previous, input string) *answer {
	t.Helper()
	body := fmt.Sprintf(`{"model":%q,"input":%q}`, model, input)
	if previous != "" {
		body = strings.Replace(body, `{`, `{"previous_response_id":"`+previous+`",`, 1)
	}
	return post(t, g, "/v1/responses", body, "Authorization", "Bearer "+key)
}

// TestTurnsOfEachProvider: an answer is continued by its id, by the same provider and by any other; the provider gets the whole
// conversation. It can be read, its input listed, and deleted, by its tenant alone.
func TestTurnsOfEachProvider(t *testing.T) {
	g := turnGateway(t, "")
	for i, provider := range chatProviders {
		model := provider + "/" + g.Fakes[provider].Model()
		first := respond(t, g, passAcmeKey, model, "", "my name is Ann")
		id := gjson.GetBytes(first.body, "id").Str
		if first.status != 200 || !strings.HasPrefix(id, "resp_") {
			t.Fatalf("%s: %s", provider, first)
		}
		next := chatProviders[(i+1)%len(chatProviders)]
		for _, p := range []string{provider, next} {
			must(t, g.ResetFakes())
			a := respond(t, g, passAcmeKey, p+"/"+g.Fakes[p].Model(), id, "who am I")
			got := string(g.Fakes[p].Last().Body)
			if a.status != 200 || !strings.Contains(got, "my name is Ann") || !strings.Contains(got, "echo: my name is Ann") || !strings.Contains(got, "who am I") || strings.Contains(got, id) {
				t.Errorf("%s continued by %s: %s, which got %s", provider, p, a, got)
			}
		}
		for name, a := range map[string]*answer{
			"continued": respond(t, g, passBetaKey, model, id, "who am I"),
			"read":      do(t, g, "GET", "/v1/responses/"+id, nil, "Authorization", "Bearer "+passBetaKey),
			"listed":    do(t, g, "GET", "/v1/responses/"+id+"/input_items", nil, "Authorization", "Bearer "+passBetaKey),
			"deleted":   do(t, g, "DELETE", "/v1/responses/"+id, nil, "Authorization", "Bearer "+passBetaKey),
		} {
			if a.status != 404 && (name != "continued" || a.status != 400) || strings.Contains(string(a.body), "Ann") {
				t.Errorf("%s by another tenant: %s", name, a)
			}
		}
		auth := []string{"Authorization", "Bearer " + passAcmeKey}
		if a := do(t, g, "GET", "/v1/responses/"+id, nil, auth...); a.status != 200 || gjson.GetBytes(a.body, "output.0.content.0.text").Str != "echo: my name is Ann" {
			t.Errorf("read: %s", a)
		}
		if a := do(t, g, "GET", "/v1/responses/"+id+"/input_items", nil, auth...); a.status != 200 || gjson.GetBytes(a.body, "data.0.content.0.text").Str != "my name is Ann" {
			t.Errorf("listed: %s", a)
		}
		if a := do(t, g, "DELETE", "/v1/responses/"+id, nil, auth...); a.status != 200 || !gjson.GetBytes(a.body, "deleted").Bool() {
			t.Errorf("deleted: %s", a)
		}
		gone := respond(t, g, passAcmeKey, model, id, "who am I")
		wantFault(t, gone, "openai", 400)
		if gjson.GetBytes(gone.body, "error.code").Str != "previous_response_not_found" {
			t.Errorf("%s", gone)
		}
	}
}

// TestTurnsOfReplicas: what one replica stored another one continues.
func TestTurnsOfReplicas(t *testing.T) {
	server := redisserver.Start(t)
	store := fmt.Sprintf("\nstore: {redis: {address: %q}}\n", server.Addr)
	a, b := turnGateway(t, store), turnGateway(t, store)
	first := respond(t, a, passAcmeKey, "anthropic/claude-haiku-4-5", "", "my name is Ann")
	id := gjson.GetBytes(first.body, "id").Str
	second := respond(t, b, passAcmeKey, "openai/gpt-4.1", id, "who am I") // at once: it was stored before the first answer ended
	if got := string(b.OpenAI().Last().Body); !strings.Contains(got, "my name is Ann") {
		t.Errorf("%s: %s", second, got)
	}
	if stranger := respond(t, b, passBetaKey, "openai/gpt-4.1", id, "who am I"); stranger.status == 200 {
		t.Errorf("another tenant: %s", stranger)
	}
}
