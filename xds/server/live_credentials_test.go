package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
	"dragoman/test/fakeprovider"
	"dragoman/xds"
)

// kinds are the ways in which a provider takes its credential. Every secret is a canary with its kind in it.
var kinds = []struct {
	name, schema, yaml string
	header, value      string // that its provider must get; "" for a signature
	path               string
}{
	{"bearer", "openai", `credentials: [{secret: {env: KEY_BEARER}}]`, "Authorization", "Bearer sk-canary-bearer", "/v1/chat/completions"},
	{"anthropic", "anthropic", `credentials: [{secret: {env: KEY_ANTHROPIC}}]`, "X-Api-Key", "sk-canary-anthropic", "/v1/messages"},
	{"azure", "openai", `dialect: azure, credentials: [{secret: {env: KEY_AZURE}}]`, "Api-Key", "sk-canary-azure", "/openai/v1/chat/completions"},
	{"gemini", "gemini", `credentials: [{secret: {env: KEY_GEMINI}}]`, "X-Goog-Api-Key", "sk-canary-gemini", "/v1beta/models/gemini-2.5-flash:generateContent"},
	{"vertex", "gemini", `dialect: vertex, project: p, credentials: [{google: {metadata: true}}]`, "Authorization", "Bearer sk-canary-vertex", "/v1beta1/projects/p/locations/global/publishers/google/models/g:generateContent"},
	{"entra", "openai", `dialect: azure, credentials: [{entra: {managed_identity: true}}]`, "Authorization", "Bearer sk-canary-entra", "/openai/v1/chat/completions"},
	{"aws", "bedrock", `region: eu-west-1, credentials: [{aws: {access_key_id: {env: AWS_ID}, secret_access_key: {env: AWS_SECRET}, session_token: {env: KEY_AWSTOKEN}}}]`, "", "", "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"},
	{"awskey", "bedrock", `credentials: [{secret: {env: KEY_AWSKEY}}]`, "Authorization", "Bearer sk-canary-awskey", "/model/a%3A0/converse"},
	{"free", "openai", ``, "", "", "/v1/chat/completions"},
}

func credentialEnv(name string) (string, bool) {
	switch name {
	case "AWS_ID":
		return awsKeyID, true
	case "AWS_SECRET":
		return awsSecret, true
	}
	return env(name)
}

// credentialRig has one provider of each kind; what they answer is up to the test.
func credentialRig(t *testing.T, tokens bool) (*rig, map[string]*upstream) {
	t.Helper()
	all := map[string]*upstream{}
	yaml := "listen: {address: \"127.0.0.1:0\"}\nproviders:\n"
	for _, k := range kinds {
		all[k.name] = newUpstream(t, answering(503))
		yaml += fmt.Sprintf("- {name: x-%s, schema: %s, endpoint: %q, %s}\n", k.name, k.schema, all[k.name].URL, k.yaml)
	}
	f, err := config.Parse("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	s, err := config.Compile(f, config.Options{Env: credentialEnv, Now: func() time.Time { return time.Unix(0, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	p := xds.Params{SystemRoots: xds.SystemRoots()}
	if tokens {
		p.Tokens = tokensOf(s, "")
	}
	return newRigWith(t, s, p), all
}

func tokensOf(s *config.Snapshot, suffix string) map[string]string {
	tokens := map[string]string{}
	for _, c := range s.Clusters {
		if c.Grant != nil {
			tokens[c.Grant.ID] = "sk-canary-" + strings.TrimPrefix(string(c.Provider.Name), "x-") + suffix
		}
	}
	return tokens
}

// TestLive_canarySecretsStayAtHome fails over from every kind of credential to every other: the second provider gets its own and
// nothing of the first one's.
func TestLive_canarySecretsStayAtHome(t *testing.T) {
	r, providers := credentialRig(t, true)
	paths := map[string]string{}
	for _, k := range kinds {
		paths["x-"+k.name+"/default"] = k.path
	}
	for _, first := range kinds {
		for _, second := range kinds {
			if first.name == second.name {
				continue
			}
			providers[first.name].answer(answering(503))
			providers[second.name].answer(answering(200))
			p := ordered("x-"+first.name, "x-"+second.name)
			p.set[":path"] = first.path
			r.stub.script(p, func(cluster string, _ int) plan {
				body := fmt.Sprintf(`{"for":%q}`, cluster)
				return plan{body: body, set: map[string]string{":path": paths[cluster], wiring.HeaderLength: fmt.Sprint(len(body))}}
			})
			resp, body, err := r.post("/v1/chat/completions", `{"model":"m"}`, nosy...)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s to %s: %v %s %v", first.name, second.name, resp, body, err)
			}
		}
	}
	for _, k := range kinds {
		all := providers[k.name].seen()
		if len(all) != 2*(len(kinds)-1) {
			t.Errorf("%s was asked %d times", k.name, len(all))
		}
		for _, got := range all {
			onlyItsOwn(t, k.name, k.header, k.value, got)
		}
	}
	processorSawNoKey(t, r)
}

func onlyItsOwn(t *testing.T, kind, header, value string, got received) {
	t.Helper()
	var carried []string
	for _, name := range []string{"Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key"} {
		if got.header.Get(name) != "" {
			carried = append(carried, name)
		}
	}
	for name := range got.header {
		if strings.HasPrefix(name, "X-Amz-") {
			carried = append(carried, name)
		}
	}
	slices.Sort(carried)
	want := []string{header}
	switch {
	case kind == "aws":
		want = []string{"Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token"}
		if err := signedRight(got, awsKeyID, awsSecret, "eu-west-1", "bedrock"); err != nil {
			t.Errorf("%s %s: %v", kind, got.uri, err)
		}
		if got.header.Get("X-Amz-Security-Token") != "sk-canary-awstoken" {
			t.Errorf("session token %q", got.header.Get("X-Amz-Security-Token"))
		}
	case header == "":
		want = nil
	case got.header.Get(header) != value:
		t.Errorf("%s got %s %q", kind, header, got.header.Get(header))
	}
	if !slices.Equal(carried, want) {
		t.Errorf("%s received %v, want %v", kind, carried, want)
	}
	text := fmt.Sprint(got.header)
	for _, other := range kinds {
		if other.name != kind && strings.Contains(text, "canary-"+other.name+"]") || strings.Contains(text, awsSecret) || strings.Contains(text, "client-canary") {
			t.Errorf("%s received what is %s's: %s", kind, other.name, text)
		}
	}
}

// TestLive_signsLargeBodies: a signature is over the whole body, which Envoy has to hold.
func TestLive_signsLargeBodies(t *testing.T) {
	r, providers := credentialRig(t, true)
	providers["aws"].answer(answering(200))
	for _, size := range []int{1, 1 << 10, 1 << 20, 1<<20 + 1, 30 << 20} {
		big := strings.Repeat("x", size)
		p := ordered("x-aws")
		p.set[":path"] = "/model/m/converse"
		r.stub.script(p, nil)
		if resp, body, err := r.post("/v1/chat/completions", big); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d bytes: %v %s %v", size, resp, body, err)
		}
		all := providers["aws"].seen()
		got := all[len(all)-1]
		if err := signedRight(got, awsKeyID, awsSecret, "eu-west-1", "bedrock"); err != nil || len(got.body) != size {
			t.Errorf("%d bytes, %d arrived: %v", size, len(got.body), err)
		}
	}
}

// TestLive_tokens: one that is lacking holds up nothing and is failed over; a new one changes the secret and no cluster.
func TestLive_tokens(t *testing.T) {
	r, providers := credentialRig(t, false)
	for _, u := range providers {
		u.answer(answering(200))
	}
	send := func(groups ...string) int {
		t.Helper()
		r.stub.script(ordered(groups...), nil)
		resp, _, err := r.post("/v1/chat/completions", `{"model":"m"}`)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	providers["vertex"].answer(func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasPrefix(req.Header.Get("Authorization"), "Bearer sk-canary-vertex") {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	if code := send("x-bearer"); code != http.StatusOK {
		t.Errorf("a provider with its own key: %d", code)
	}
	if code := send("x-vertex", "x-bearer"); code != http.StatusOK {
		t.Errorf("no failover from a provider without a token: %d", code)
	}
	for _, got := range providers["vertex"].seen() {
		if got.header.Get("Authorization") != "Bearer unavailable" {
			t.Errorf("without a token the provider got %q", got.header.Get("Authorization"))
		}
	}
	for _, suffix := range []string{"", "-2", "-3"} {
		before := r.clusterVersion()
		r.setWith(r.snap, xds.Params{SystemRoots: xds.SystemRoots(), Tokens: tokensOf(r.snap, suffix)})
		deadline := time.Now().Add(10 * time.Second)
		for want := "Bearer sk-canary-vertex" + suffix; ; time.Sleep(20 * time.Millisecond) {
			code := send("x-vertex")
			all := providers["vertex"].seen()
			if code == http.StatusOK && all[len(all)-1].header.Get("Authorization") == want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the new token did not arrive: %d", code)
			}
		}
		if r.clusterVersion() != before {
			t.Error("a new token made new clusters")
		}
	}
}

// TestLive_configDumpHidesSecrets: whoever may ask Envoy's admin port sees no key.
func TestLive_configDumpHidesSecrets(t *testing.T) {
	r, _ := credentialRig(t, true)
	admin, err := os.ReadFile(filepath.Join(r.envoy.Dir, "admin-address"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, path := range []string{"/config_dump?include_eds", "/clusters", "/stats", "/certs", "/listeners"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+strings.TrimSpace(string(admin))+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		dump, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if path == "/config_dump?include_eds" && !strings.Contains(string(dump), "aws_request_signing") {
			t.Error("the dump does not hold the clusters")
		}
		for _, secret := range []string{awsSecret, "sk-canary"} {
			if i := strings.Index(string(dump), secret); i >= 0 {
				t.Errorf("%s shows a secret: …%s…", path, dump[max(0, i-200):i+10])
			}
		}
	}
}

// TestLive_strictBedrock: the strict fake of Bedrock, which recomputes signatures on its own, takes what Envoy signs, on the first
// attempt and on a later one.
func TestLive_strictBedrock(t *testing.T) {
	aws := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Bedrock})
	busy := newUpstream(t, answering(503))
	key := fakeprovider.DefaultAWSKey
	f, err := config.Parse("test.yaml", []byte(fmt.Sprintf(`
listen: {address: "127.0.0.1:0"}
providers:
- {name: busy, schema: openai, endpoint: %q, credentials: [{secret: {env: KEY_BUSY}}]}
- {name: aws, schema: bedrock, region: %s, endpoint: %q, credentials: [{aws: {access_key_id: {env: ID}, secret_access_key: {env: SECRET}}}]}
`, busy.URL, key.Region, aws.URL())))
	if err != nil {
		t.Fatal(err)
	}
	s, err := config.Compile(f, config.Options{Env: func(name string) (string, bool) {
		if v := map[string]string{"ID": key.ID, "SECRET": key.Secret}[name]; v != "" {
			return v, true
		}
		return env(name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, s)
	const body = `{"messages":[{"role":"user","content":[{"text":"hello"}]}]}`
	const path = "/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
	for _, order := range [][]string{{"aws"}, {"busy", "aws"}} {
		p := ordered(order...)
		p.set[":path"] = path
		r.stub.script(p, func(string, int) plan {
			return plan{body: body, set: map[string]string{":path": path, wiring.HeaderLength: fmt.Sprint(len(body))}}
		})
		resp, answer, err := r.post("/v1/chat/completions", body)
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(answer, `"stopReason"`) {
			t.Errorf("%v: %v %s %v", order, resp, answer, err)
		}
	}
}

// TestLive_chain: with chain: true Envoy finds the pair of keys itself, here in its environment; where it finds none, it starts all the
// same, and the provider refuses the unsigned request.
func TestLive_chain(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/nowhere")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	for _, found := range []bool{true, false} {
		t.Run(fmt.Sprint(found), func(t *testing.T) {
			if found {
				t.Setenv("AWS_ACCESS_KEY_ID", awsKeyID)
				t.Setenv("AWS_SECRET_ACCESS_KEY", awsSecret)
			}
			u := newUpstream(t, answering(200))
			r := newRig(t, compile(t, fmt.Sprintf("listen: {address: \"127.0.0.1:0\"}\nproviders: [{name: aws, schema: bedrock, region: eu-west-1, endpoint: %q, credentials: [{aws: {chain: true}}]}]", u.URL)))
			r.stub.script(ordered("aws"), nil)
			resp, body, err := r.post("/v1/chat/completions", `{"model":"m"}`)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%v %s %v", resp, body, err)
			}
			got := u.seen()[0]
			signed := signedRight(got, awsKeyID, awsSecret, "eu-west-1", "bedrock")
			if found && signed != nil || !found && got.header.Get("Authorization") != "" {
				t.Errorf("signed: %v, headers %v", signed, got.header)
			}
		})
	}
}
