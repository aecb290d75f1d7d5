package translatetest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// request: the body is read, twice alike; rewriting changes the model and keeps what nobody knows; encoding it again for
// its own schema keeps all that the schema can say, in the same bytes each time.
func request(t *testing.T, c Codec, k *Case) {
	body := withMember(t, k.Request, "x_of_tomorrow", `{"a": [1.0, "\u0041"]}`)
	h := parse(t, c, body)
	if h.Schema != c.Schema() || h.Model != "auto" || h.Messages == 0 || h.TextBytes == 0 || h.N < 1 || h.Stream {
		t.Errorf("head: %+v", h)
	}
	if string(h.Field("x_of_tomorrow")) != `{"a": [1.0, "\u0041"]}` || !bytes.Equal(h.Body, body) {
		t.Error("the head must hold the body and its members as they came")
	}
	rewritten(t, c, h)

	plain := parse(t, c, k.Request)
	first, second := decoded(t, c, plain), decoded(t, c, plain)
	same(t, "decoding twice", second, first)
	to := translate.Target{Model: "claude-3-7-of-the-suite", MaxOutput: 1 << 20, Lossy: true}
	if pathModel[c.Schema()] {
		to.Model = "gemini-2.5-of-the-suite"
	}
	up, err := c.Encode(first, to)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Encode(second, to)
	if err != nil || !bytes.Equal(up.Body, again.Body) {
		t.Errorf("D83, not the same bytes (%v):\n%s\n%s", err, up.Body, again.Body)
	}
	same(t, "encoding changed its input", first, second)
	back := decoded(t, c, parse(t, c, up.Body))
	same(t, "round trip", said(back, up.Dropped), said(first, up.Dropped))
	twice, err := c.Encode(back, to)
	if err != nil || !bytes.Equal(twice.Body, up.Body) {
		t.Errorf("a second round trip changes the body (%v):\n%s\n%s", err, up.Body, twice.Body)
	}
}

// rewritten checks Rewrite: a second reading finds the same request under another model.
func rewritten(t *testing.T, c Codec, h *chat.Head) {
	t.Helper()
	up, err := c.Rewrite(h, translate.Target{BasePath: "/v1", Model: `other "model"`})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(up.Path, "/v1/") {
		t.Errorf("path %q", up.Path)
	}
	after := parse(t, c, up.Body)
	if pathModel[c.Schema()] {
		if !strings.Contains(up.Path, `other%20%22model%22`) {
			t.Errorf("the path %s does not name the model", up.Path)
		}
		after.Model = `other "model"`
	}
	if after.Model != `other "model"` || len(after.Fields) != len(h.Fields) {
		t.Errorf("rewritten: %s", up.Body)
	}
	for _, f := range h.Fields {
		if f.Name != "model" && !bytes.Equal(after.Field(f.Name), h.Field(f.Name)) {
			t.Errorf("%s was changed to %s", f.Name, after.Field(f.Name))
		}
	}
}

// said is a request without what its own schema need not say again: the model, the cap (a schema may raise or default
// it), what was named as dropped, the exact schemas (one may close an object, or say that there are no parameters), and the
// split into messages.
func said(r *chat.Request, dropped []string) *chat.Request {
	s := *r
	s.Model, s.MaxTokens, s.Extra = "", nil, nil
	thinking := true
	for _, name := range dropped {
		switch {
		case name == "temperature":
			s.Temperature = nil
		case name == "stop":
			s.Stop = nil
		case strings.HasSuffix(name, ".thinking"), strings.HasSuffix(name, ".reasoning_content"):
			thinking = false
		}
	}
	if s.Format != nil {
		f := *s.Format
		f.Schema = nil
		s.Format = &f
	}
	s.Tools = append([]chat.Tool(nil), r.Tools...)
	for i := range s.Tools {
		if strings.TrimSuffix(string(s.Tools[i].Parameters), `,"properties":{}}`) == `{"type":"object"` {
			s.Tools[i].Parameters = nil
		}
	}
	s.Messages = nil
	for _, m := range r.Messages {
		s.Messages = joined(s.Messages, m, thinking)
	}
	return &s
}

// joined adds a message to the turn in progress, or begins the next one.
func joined(list []chat.Message, m chat.Message, thinking bool) []chat.Message {
	var parts []chat.Part
	for _, p := range m.Parts {
		if thinking || p.Kind != chat.Thinking && p.Kind != chat.RedactedThinking {
			parts = append(parts, p)
		}
	}
	if n := len(list); n > 0 && m.Role != chat.ToolRole && list[n-1].Role == m.Role {
		list[n-1].Parts = append(list[n-1].Parts[:len(list[n-1].Parts):len(list[n-1].Parts)], parts...)
		return list
	}
	m.Parts = parts
	return append(list, m)
}

func parse(t *testing.T, c Codec, body []byte) *chat.Head {
	t.Helper()
	h, err := c.Parse(body)
	if err != nil {
		t.Fatalf("%v:\n%s", err, body)
	}
	if pathModel[c.Schema()] {
		h.Model = "auto"
	}
	return h
}

// pathModel are the schemas whose requests name the model, and ask for a stream, in the path and not in the body.
var pathModel = map[chat.Schema]bool{chat.Gemini: true}

func decoded(t *testing.T, c Codec, h *chat.Head) *chat.Request {
	t.Helper()
	r, err := c.Decode(h)
	if err != nil {
		t.Fatalf("%v:\n%s", err, h.Body)
	}
	return r
}

// withMember adds a member to an object's end.
func withMember(t *testing.T, object []byte, name, value string) []byte {
	t.Helper()
	trimmed := bytes.TrimSpace(object)
	if len(trimmed) < 2 || trimmed[len(trimmed)-1] != '}' {
		t.Fatalf("no object: %s", object)
	}
	out := append([]byte(nil), trimmed[:len(trimmed)-1]...)
	return append(out, `,"`+name+`":`+value+`}`...)
}

// brokenRequest: a body cut at any byte, or with a member of any other kind, is a fault or is accepted; it is never worse.
func brokenRequest(t *testing.T, c Codec, k *Case) {
	whole := bytes.TrimSpace(k.Request)
	for n := range len(whole) {
		if _, err := c.Parse(whole[:n:n]); mustFault(t, err, string(whole[:n])).Kind != fault.InvalidRequest {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	h := parse(t, c, whole)
	for _, f := range h.Fields {
		for _, value := range []string{`null`, `true`, `-1`, `1e99`, `""`, `"x"`, `[]`, `[null]`, `[[]]`, `[{}]`, `{}`, `{"type":{}}`, `[{"role":"user","content":[{}]}]`} {
			body := append([]byte(nil), whole[:f.Start]...)
			body = append(append(body, value...), whole[f.End:]...)
			tryRequest(t, c, body, f.Name)
		}
	}
}

// tryRequest sends a body as far as it goes. A refusal that names a field names the one that was broken.
func tryRequest(t *testing.T, c Codec, body []byte, name string) {
	t.Helper()
	h, err := c.Parse(body)
	if err != nil {
		f := mustFault(t, err, string(body))
		if f.Kind != fault.InvalidRequest && f.Kind != fault.Unsupported || f.Param == "" {
			t.Errorf("%s: %+v", body, f)
		}
		return
	}
	r, err := c.Decode(h)
	if err != nil {
		mustFault(t, err, string(body))
		return
	}
	up, err := c.Encode(r, translate.Target{Model: "m"})
	if err != nil {
		mustFault(t, err, string(body))
	} else if !json.Valid(up.Body) {
		t.Errorf("%s broken: encoded as %s", name, up.Body)
	}
}

// hostile bodies are faults of the client's, at once.
func hostile(t *testing.T, c Codec) {
	deep := strings.Repeat("[", 10_000)
	for name, body := range map[string]string{
		"empty":           ``,
		"white space":     " \n",
		"null":            `null`,
		"array":           `[]`,
		"string":          `"x"`,
		"empty object":    `{}`,
		"not JSON":        `<html>`,
		"nested":          `{"model":` + deep + `}`,
		"nested, closed":  `{"messages":` + deep + strings.Repeat("]", 10_000) + `}`,
		"nested objects":  strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat(`}`, 10_000),
		"invalid UTF-8":   "{\"model\":\"\xff\"}",
		"overlong UTF-8":  "{\"model\":\"\xc0\xaf\"}",
		"bad escape":      `{"model":"\q"}`,
		"control":         "{\"model\":\"\x01\"}",
		"twice":           `{"model":"a","model":"b"}`,
		"twice, hidden":   `{"model":"a","mod\u0065l":"b"}`,
		"two documents":   `{} {}`,
		"NaN":             `{"temperature":NaN}`,
		"leading zero":    `{"temperature":01}`,
		"byte order mark": "\xef\xbb\xbf{}",
	} {
		_, err := c.Parse([]byte(body))
		if f := mustFault(t, err, name); f.Kind != fault.InvalidRequest {
			t.Errorf("%s: %v", name, f)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("%s: a message of %d bytes", name, len(err.Error()))
		}
	}
}
