package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"dragoman/internal/config"
)

func TestLoggerFormatAndLevel(t *testing.T) {
	var b bytes.Buffer
	log, level := NewLogger(&b, "warn", "json")
	log.Info("quiet")
	if b.Len() != 0 {
		t.Errorf("wrote %s", b.String())
	}
	level.Set(slog.LevelDebug)
	log.Debug("loud", "n", 1)
	fields := map[string]any{}
	if err := json.Unmarshal(b.Bytes(), &fields); err != nil || fields["msg"] != "loud" || fields["n"] != 1.0 {
		t.Errorf("%v: %s", err, b.String())
	}
	b.Reset()
	log, _ = NewLogger(&b, "info", "text")
	log.Info("hello", "a", "b c")
	if !strings.Contains(b.String(), `msg=hello a="b c"`) {
		t.Errorf("got %s", b.String())
	}
	b.Reset()
	log, _ = NewLogger(&b, "nonsense", "") // not a terminal: JSON
	log.Debug("no")
	log.Info("yes")
	if !strings.HasPrefix(b.String(), "{") || strings.Contains(b.String(), `"no"`) {
		t.Errorf("got %s", b.String())
	}
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if terminal(f) {
		t.Error("a file is taken for a terminal")
	}
}

// Canaries of every kind that could reach a log line, wherever in it.
func TestNoCredentialInTheLog(t *testing.T) {
	const (
		openai = "sk-proj-canary0123456789abcdef"
		claude = "sk-ant-api03-canary_0123456789"
		google = "AIzaSyCanary0123456789"
		ours   = "dgm_canary0123456789abcdefgh"
		bearer = "eyJhbGciOi.canary.x"
	)
	for _, format := range []string{"json", "text"} {
		var b bytes.Buffer
		log, _ := NewLogger(&b, "debug", format)
		log.Info("key "+openai+" was refused", "error", errors.New("Incorrect API key provided: "+claude+". See the docs."))
		log.Info("headers", "authorization", "canary", "X-Api-Key", "canary", "Cookie", "canary=1", "note", "Authorization: Bearer "+bearer+", and more")
		log.With("header", "bearer "+bearer).WithGroup("g").Warn("nested", slog.Group("h", "k", google), "text", ours+" "+ours)
		log.Info("config", "secret", config.NewSecret("canary", "env X"))
		if got := b.String(); strings.Contains(strings.ToLower(got), "canary") {
			t.Errorf("%s: %s", format, got)
		} else if !strings.Contains(got, "See the docs.") || !strings.Contains(got, "and more") || strings.Count(got, masked) < 9 {
			t.Errorf("%s: too much or too little is masked: %s", format, got)
		}
	}
}

func TestRedactLeavesTheRest(t *testing.T) {
	for _, s := range []string{
		"", "sk-", "a task-based model", "risk-averse", "sk-short", "AIza", "Bearer ", "bearer", "the bearer token is missing",
		"gpt-5-mini", "claude-sonnet-4-5", "dgm_x", strings.Repeat("sk-", 3),
	} {
		if got := redact(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("Bearer sk-abcdefghijklmnop sk-")
	f.Add("sk-sk-sk-sk-sk-sk-sk-")
	f.Fuzz(func(t *testing.T, s string) {
		once := redact(s)
		if len(once) > 8*len(s)+64 {
			t.Errorf("%d bytes became %d", len(s), len(once))
		}
		if !suspicious(s) && len(s) >= minKey && once != s {
			t.Errorf("%q is not suspicious and became %q", s, once)
		}
	})
}

func BenchmarkLogLine(b *testing.B) {
	log, _ := NewLogger(io.Discard, "info", "json")
	b.ReportAllocs()
	for b.Loop() {
		log.Info("request", "id", "0123456789", "model", "auto", "provider", "claude", "status", 200)
	}
}
