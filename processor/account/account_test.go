package account

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

func TestCost(t *testing.T) {
	priced := &config.Model{Price: &config.Price{Input: 250_000, Output: 2_000_000, CacheRead: 25_000, CacheWrite: 312_500, CacheWrite1h: 500_000}}
	usage := chat.Usage{Known: true, Input: 1000, CacheRead: 4000, CacheWrite: 800, CacheWrite1h: 100, Output: 500}
	for name, c := range map[string]struct {
		model  *config.Model
		usage  chat.Usage
		cost   config.MicroUSD
		priced bool
	}{
		"every class":                {priced, usage, 250 + 100 + 250 + 50 + 1000, true},
		"rounded up":                 {priced, chat.Usage{Input: 1}, 1, true},
		"nothing used":               {priced, chat.Usage{}, 0, true},
		"free is not unknown":        {&config.Model{Price: &config.Price{}}, usage, 0, true},
		"C23: unknown is not free":   {&config.Model{}, usage, 0, false},
		"nobody answered":            {nil, usage, 0, false},
		"reasoning is within output": {priced, chat.Usage{Output: 500, Reasoning: 400}, 1000, true},
	} {
		t.Run(name, func(t *testing.T) {
			cost, ok := Cost(c.model, c.usage)
			if cost != c.cost || ok != c.priced {
				t.Errorf("got %d, %v; want %d, %v", cost, ok, c.cost, c.priced)
			}
		})
	}
}

func served() *Record {
	return &Record{
		ID: "req-1", Time: time.Unix(0, 0), Tenant: "acme", Team: "search", Key: "ci", Endpoint: "/v1/chat/completions", Schema: chat.OpenAI,
		Asked: "auto", Route: "auto", Model: "haiku", Provider: "claude", Cluster: "claude/default", Stream: true, Cache: "miss",
		Status: 200, Outcome: "ok", Attempts: 2, Usage: chat.Usage{Known: true, Input: 10, CacheRead: 5, Output: 7},
		Cost: 42, Priced: true, Duration: time.Second, TTFT: 300 * time.Millisecond, Overhead: 90 * time.Microsecond, Dropped: 1,
	}
}

// line writes one record and reads it back.
func line(t *testing.T, level slog.Level, r *Record) map[string]any {
	t.Helper()
	var b bytes.Buffer
	NewLog(slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: level}))).Record(r)
	if b.Len() == 0 {
		return nil
	}
	if strings.Count(b.String(), "\n") != 1 {
		t.Fatalf("more than a line: %s", b.String())
	}
	fields := map[string]any{}
	if err := json.Unmarshal(b.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestLogOfAServedRequest(t *testing.T) {
	got := line(t, slog.LevelDebug, served())
	for name, want := range map[string]any{
		"msg": "request", "level": "DEBUG", "id": "req-1", "outcome": "ok", "status": 200.0, "tenant": "acme", "team": "search", "key": "ci",
		"endpoint": "/v1/chat/completions", "model": "auto", "route": "auto", "stream": true, "cache": "miss", "provider": "claude",
		"cluster": "claude/default", "served": "haiku", "attempts": 2.0, "input_tokens": 15.0, "output_tokens": 7.0, "estimated": false,
		"ttft": 3e8, "duration": 1e9, "overhead": 9e4, "cost_microusd": 42.0, "dropped": 1.0,
	} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
	if len(got) != 26 { // those and the time
		t.Errorf("%d fields: %v", len(got), got)
	}
}

func TestLogOfARefusedRequest(t *testing.T) {
	got := line(t, slog.LevelInfo, &Record{ID: "req-2", Outcome: "unauthenticated", Status: 401, Endpoint: "/v1/messages", Duration: time.Millisecond})
	if got["outcome"] != "unauthenticated" || got["level"] != "INFO" {
		t.Errorf("got %v", got)
	}
	for _, name := range []string{"provider", "model", "route", "cost_microusd", "team", "cache", "ttft"} {
		if v, ok := got[name]; ok {
			t.Errorf("%s: %v, which there was none of", name, v)
		}
	}
}

func TestLogKeepsSuccessesQuietAtInfo(t *testing.T) {
	if got := line(t, slog.LevelInfo, served()); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestLogSaysThatAPriceIsUnknown(t *testing.T) {
	r := served()
	r.Priced, r.Cost = false, 0
	if got := line(t, slog.LevelDebug, r)["cost_microusd"]; got != "unknown" {
		t.Errorf("got %v", got)
	}
}

func TestLogLineIsBounded(t *testing.T) {
	r := served()
	long := strings.Repeat("x", 1<<20)
	r.ID, r.Asked, r.Route, r.Model = long, long, long, long
	var b bytes.Buffer
	NewLog(slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))).Record(r)
	if b.Len() > 2000 {
		t.Errorf("a line of %d bytes", b.Len())
	}
}

func TestNone(t *testing.T) {
	var l Ledger = None{}
	l.Record(served())
	l = NewLog(slog.New(slog.DiscardHandler))
	l.Record(served())
}

func BenchmarkLog(b *testing.B) {
	for name, level := range map[string]slog.Level{"off": slog.LevelInfo, "on": slog.LevelDebug} {
		b.Run(name, func(b *testing.B) {
			l, r := NewLog(slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: level}))), served()
			b.ReportAllocs()
			for b.Loop() {
				l.Record(r)
			}
		})
	}
}
