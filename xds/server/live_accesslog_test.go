package server_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLive_accessLogTellsNoSecrets(t *testing.T) {
	u := newUpstream(t, answering(200))
	path := filepath.Join(t.TempDir(), "access.json")
	r := newRig(t, compile(t, fmt.Sprintf(`
listen: {address: "127.0.0.1:0"}
envoy: {access_log: {path: %q}}
providers: [{name: p, schema: openai, endpoint: %q, credentials: [{secret: {env: KEY_P}}]}]
`, path, u.URL)))
	r.stub.script(ordered("p"), nil)
	if _, _, err := r.post("/v1/chat/completions?key=in-the-query", `{"content":"in-the-body"}`, nosy...); err != nil {
		t.Fatal(err)
	}
	line := ""
	for range 200 { // Envoy writes its files each second, or sooner when much is to be written
		b, _ := os.ReadFile(path)
		if line = string(b); line != "" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, secret := range []string{"canary", "in-the-query", "in-the-body", "Bearer"} {
		if strings.Contains(line, secret) {
			t.Errorf("the access log holds %q: %s", secret, line)
		}
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	for name, want := range map[string]any{
		"method": "POST", "path": "/v1/chat/completions", "status": 200.0, "cluster": "p/default", "attempts": 1.0, "exchange": "exchange-1", "client": "127.0.0.1",
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
