package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// anEnvoy lets options be read where no Envoy was fetched.
func anEnvoy(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func parsed(t *testing.T, args ...string) (*options, error) {
	t.Helper()
	var out bytes.Buffer
	return parse(append([]string{"--envoy", anEnvoy(t)}, args...), &out)
}

func TestDefaults(t *testing.T) {
	o, err := parsed(t)
	if err != nil {
		t.Fatal(err)
	}
	if o.duration != 5*time.Second || o.rounds != 5 || o.concurrency != 16 || o.workers != 1 || o.json != filepath.Join("bin", "bench.json") {
		t.Errorf("got %+v", o)
	}
	if want := []build{{"dragoman", filepath.Join("bin", "dragoman")}}; !reflect.DeepEqual(o.builds, want) {
		t.Errorf("builds %+v, want %+v", o.builds, want)
	}
	if n := len(o.selected()); n != len(cases) {
		t.Errorf("%d of %d cases are selected", n, len(cases))
	}
	// The whole run is meant to take three and a half minutes.
	lines := 0
	for i := range cases {
		if lines++; cases[i].caller == "" {
			lines += 2 // directly, and through the plain Envoy
		}
	}
	if total := time.Duration(lines) * (o.duration + time.Duration(o.rounds)*o.warmUp); total > 210*time.Second {
		t.Errorf("a run would take %v", total)
	}
}

func TestOptions(t *testing.T) {
	o, err := parsed(t, "--cases", "^stream", "--dragoman", "old=a/b", "--dragoman", "c", "--rounds", "7",
		"--against", "bifrost=http://127.0.0.1:8080,12,34", "--against", "litellm=http://[::1]:4000/openai/v1/,56",
		"--against-model", "bifrost=openai/gpt", "--against-model", "litellm=gpt", "--against-translated", "litellm=claude",
		"--against-key", "sk-1=2", "--against-key", "litellm=sk-3")
	if err != nil {
		t.Fatal(err)
	}
	if want := []build{{"old", "a/b"}, {"dragoman", "c"}}; !reflect.DeepEqual(o.builds, want) {
		t.Errorf("builds %+v, want %+v", o.builds, want)
	}
	want := []*other{
		{name: "bifrost", address: "127.0.0.1:8080", path: "/v1", pids: []int{12, 34}, model: "openai/gpt", key: "sk-1=2"},
		{name: "litellm", address: "[::1]:4000", path: "/openai/v1", pids: []int{56}, model: "gpt", translated: "claude", key: "sk-3"},
	}
	if !reflect.DeepEqual(o.others, want) {
		t.Errorf("others %+v %+v, want %+v %+v", o.others[0], o.others[1], want[0], want[1])
	}
	for _, k := range o.selected() {
		if !k.stream {
			t.Errorf("%s is selected by ^stream", k.name)
		}
	}
}

func TestWithoutDragoman(t *testing.T) {
	o, err := parsed(t, "--dragoman", "none")
	if err != nil || len(o.builds) > 0 {
		t.Errorf("builds %+v, %v", o.builds, err)
	}
}

func TestBadOptions(t *testing.T) {
	for says, args := range map[string][]string{
		"no case matches":     {"--cases", "nothing"},
		"missing closing":     {"--cases", "("},
		"--rounds":            {"--rounds", "0"},
		"--concurrency":       {"--concurrency", "100000"},
		"--envoy-workers":     {"--envoy-workers", "0"},
		"a time":              {"--duration", "-1s"},
		"is taken":            {"--dragoman", "x=a", "--dragoman", "x=b"},
		"envoy is taken":      {"--dragoman", "envoy=a"},
		"direct is taken":     {"--against", "direct=http://h:1,1"},
		"[NAME=]PATH":         {"--dragoman", "../x=a"},
		"want NAME=http":      {"--against", "x=http://h:1"},
		"NAME=http://HOST":    {"--against", "x=https://h:1,1"},
		"HOST:PORT[/PATH]":    {"--against", "x=http://h,1"},
		`"one" is no process`: {"--against", "x=http://h:1,one"},
		"no process id":       {"--against", "x=http://h:1,0"},
		"before any":          {"--against-model", "m"},
		"there is no program": {"--envoy", filepath.Join(t.TempDir(), "absent")},
	} {
		_, err := parsed(t, args...)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want %q in it", args, err, says)
		}
	}
}

func TestWhatAnotherGatewayIsAsked(t *testing.T) {
	g := &other{name: "x", address: "127.0.0.1:1", path: "/v1", model: "m", key: "sk-1"}
	for i := range cases {
		k := &cases[i]
		c := g.call(k)
		if able := !k.translated && !k.cached && !k.failover && k.caller == ""; able != (c != nil) {
			t.Errorf("%s: asked: %t, want %t", k.name, c != nil, able)
		}
		if c == nil {
			continue
		}
		for _, s := range []string{"POST /v1/chat/completions HTTP/1.1\r\n", "\r\nauthorization: Bearer sk-1\r\n", `"model":"m"`} {
			if !bytes.Contains(c.request, []byte(s)) {
				t.Errorf("%s: the request lacks %q", k.name, s)
			}
		}
	}
	g.translated, g.key = "claude", ""
	c := g.call(&cases[1])
	if c == nil || !bytes.Contains(c.request, []byte(`"model":"claude"`)) || bytes.Contains(c.request, []byte("authorization")) {
		t.Errorf("translated: asked %+v", c)
	}
	if c.want.mark != markAnthropic {
		t.Errorf("the answer must come from the Anthropic provider, not %q", c.want.mark)
	}
}
