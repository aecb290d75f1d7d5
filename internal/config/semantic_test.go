package config

import (
	"strings"
	"testing"
	"time"
)

func TestSemanticDefaults(t *testing.T) {
	s := mustLoad(t, "cache: {exact: {ttl: 30m}, semantic: {}}", bothKeys)
	want := Semantic{On: true, Threshold: 0.95, MaxEntries: 100_000, MaxBytes: 256 << 20, TTL: 30 * time.Minute, Timeout: 50 * time.Millisecond,
		MaxTextBytes: 1000, Guards: SemanticGuards{true, true, true, true, true, true, true, true}}
	got := s.Semantic
	if got.Local == nil || *got.Local != (LocalEmbedder{}) || got.Endpoint != nil {
		t.Errorf("embedder %+v %+v", got.Local, got.Endpoint)
	}
	if got.Local = nil; got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if s.Route(Auto).Semantic || !s.Route(Auto).Exact {
		t.Error("the semantic tier is on for a route that did not ask for it")
	}
	if s := mustLoad(t, "cache: {exact: {}}", bothKeys); s.Semantic != (Semantic{}) {
		t.Errorf("absent: %+v", s.Semantic)
	}
}

func TestSemanticSettings(t *testing.T) {
	s := mustLoad(t, `
cache:
  exact: {}
  semantic:
    threshold: 0.9
    max_entries: 10
    max_bytes: 100000
    ttl: 5m
    timeout: 20ms
    shadow: true
    multi_turn: true
    max_text_bytes: 200
    store: redis
    guards: {length: false, script: true}
    embedder: {endpoint: {provider: openai, model: text-embedding-3-small, dimensions: 256}}
store: {redis: {address: "127.0.0.1:6379"}}
routes:
  - {model: faq, candidates: [gpt-5-mini], cache: {semantic: true}}
  - {model: chat, candidates: [gpt-5-mini]}
  - {model: never, candidates: [gpt-5-mini], cache: {exact: false, semantic: true}}
`, bothKeys)
	got := s.Semantic
	e := got.Endpoint
	if e == nil || e.Provider != s.Provider("openai") || e.Model != "text-embedding-3-small" || e.Dimensions != 256 || got.Local != nil {
		t.Errorf("embedder %+v %+v", got.Local, e)
	}
	got.Endpoint = nil
	guards := SemanticGuards{true, true, true, true, true, true, false, true}
	if want := (Semantic{On: true, Threshold: 0.9, MaxEntries: 10, MaxBytes: 100_000, TTL: 5 * time.Minute, Timeout: 20 * time.Millisecond,
		MaxTextBytes: 200, Shadow: true, MultiTurn: true, Redis: true, Guards: guards}); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for route, want := range map[string]bool{"faq": true, "chat": false, "never": false} {
		if s.Route(route).Semantic != want {
			t.Errorf("route %s: %v", route, !want)
		}
	}
}

func TestSemanticEveryRoute(t *testing.T) {
	s := mustLoad(t, `
cache: {exact: {}, semantic: {every_route: true}}
routes: [{model: chat, candidates: [gpt-5-mini]}, {model: off, candidates: [gpt-5-mini], cache: {semantic: false}}]
`, bothKeys)
	for _, name := range []string{Auto, "chat", "gpt-5-mini", "openai/never-heard-of"} {
		if r, err := s.Lookup(name); err != nil || !r.Semantic {
			t.Errorf("%s: %v %v", name, r, err)
		}
	}
	if s.Route("off").Semantic {
		t.Error("a route that refused")
	}
}

func TestSemanticFaults(t *testing.T) {
	for text, want := range map[string]string{
		"cache: {semantic: {}}":                                                                                 "needs cache.exact",
		"cache: {exact: {ttl: 1m}, semantic: {ttl: 2m}}":                                                        "must not be longer than cache.exact.ttl",
		"cache: {exact: {}, semantic: {store: redis}}":                                                          "there is no store.redis",
		"cache: {exact: {}, semantic: {store: disk}}":                                                           "must be memory or redis",
		"cache: {exact: {}, semantic: {threshold: 0.2}}":                                                        "must be from 0.5 to 1",
		"cache: {exact: {}, semantic: {threshold: 1.5}}":                                                        "must be from 0.5 to 1",
		"cache: {exact: {}, semantic: {timeout: 1h}}":                                                           "cache.semantic.timeout",
		"cache: {exact: {}, semantic: {max_text_bytes: 5000}}":                                                  "must be from 1 to 4000",
		"cache: {exact: {}, semantic: {guards: {negations: true}}}":                                             "did you mean",
		"cache: {exact: {}, semantic: {embedder: {local: {}, endpoint: {provider: openai, model: m}}}}":         "either local or endpoint",
		"cache: {exact: {}, semantic: {embedder: {local: {workers: 100}}}}":                                     "must be from 0 to 64",
		"cache: {exact: {}, semantic: {embedder: {endpoint: {provider: nobody, model: m}}}}":                    `no provider "nobody"`,
		"cache: {exact: {}, semantic: {embedder: {endpoint: {provider: openai}}}}":                              "model: is missing",
		"cache: {exact: {}, semantic: {embedder: {endpoint: {provider: openai, model: \"a b\"}}}}":              "visible ASCII",
		"cache: {exact: {}, semantic: {embedder: {endpoint: {model: m}}}}":                                      "provider: is missing",
		"cache: {exact: {}, semantic: {embedder: {endpoint: {provider: openai, model: m, dimensions: 99999}}}}": "dimensions",
	} {
		_, err := loadYAML(text, bothKeys)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSemanticWithoutGuardsWarns(t *testing.T) {
	off := "guards: {numbers: false, negation: false, entities: false, order: false, substitution: false, scope: false, length: false, script: false}"
	warned := func(text string) bool {
		return strings.Contains(strings.Join(mustLoad(t, text, bothKeys).Warnings, "\n"), "every guard is off")
	}
	if !warned("cache: {exact: {}, semantic: {" + off + "}}") {
		t.Error("no warning")
	}
	if warned("cache: {exact: {}, semantic: {shadow: true, "+off+"}}") || warned("cache: {exact: {}, semantic: {}}") {
		t.Error("a warning without need")
	}
}
