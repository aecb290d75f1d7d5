package openai

import (
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

func TestPassParseAndRewrite(t *testing.T) {
	for name, c := range map[string]struct {
		op            Pass
		body, model   string
		to            string // model of the target
		want          string
		text          int
		headerModel   string
		n             int64
		path, refused string
	}{
		"moderation":            {op: Moderations, body: `{"input":"hello","model":"a"}`, model: "a", to: "b", want: `{"input":"hello","model":"b"}`, text: 5, n: 1, path: "/v1/moderations"},
		"same model":            {op: Moderations, body: `{ "model": "a", "input": ["x", "y"] }`, model: "a", to: "a", want: `{ "model": "a", "input": ["x", "y"] }`, text: 10, n: 1, path: "/v1/moderations"},
		"default":               {op: Moderations, body: `{"input":"hello"}`, want: `{"input":"hello"}`, text: 5, n: 1, path: "/v1/moderations"},
		"model of the header":   {op: Moderations, body: `{"input":"hello"}`, headerModel: "b", to: "b", want: `{"input":"hello","model":"b"}`, text: 5, n: 1, path: "/v1/moderations"},
		"null, and a header":    {op: Images, body: `{"model":null,"prompt":"x"}`, headerModel: "b", to: "b", want: `{"model":"b","prompt":"x"}`, text: 1, n: 1, path: "/v1/images/generations"},
		"image":                 {op: Images, body: `{"model":"a","prompt":"a bridge","n":3,"unknown":{"x":[1]}}`, model: "a", to: "b", want: `{"model":"b","prompt":"a bridge","n":3,"unknown":{"x":[1]}}`, text: 8, n: 3, path: "/v1/images/generations"},
		"speech":                {op: Speech, body: `{"model":"a","input":"say","voice":{"id":"v"}}`, model: "a", to: "b", want: `{"model":"b","input":"say","voice":{"id":"v"}}`, text: 3, n: 1, path: "/v1/audio/speech"},
		"escaped model":         {op: Speech, body: `{"model":"\u0061","input":"say"}`, model: "a", to: "a", want: `{"model":"\u0061","input":"say"}`, text: 3, n: 1, path: "/v1/audio/speech"},
		"speech without model":  {op: Speech, body: `{"input":"say"}`, refused: "model"},
		"two models":            {op: Moderations, body: `{"model":"a","model":"b","input":"x"}`, refused: "-"},
		"two models, escaped":   {op: Moderations, body: `{"model":"a","mod\u0065l":"b","input":"x"}`, refused: "-"},
		"model of another type": {op: Moderations, body: `{"model":1,"input":"x"}`, refused: "model"},
		"empty model":           {op: Moderations, body: `{"model":"","input":"x"}`, refused: "model"},
		"too many":              {op: Images, body: `{"prompt":"x","n":1000}`, refused: "n"},
		"an array":              {op: Moderations, body: `[]`, refused: "-"},
		"cut":                   {op: Moderations, body: `{"input":"x"`, refused: "-"},
	} {
		h, err := c.op.Parse([]byte(c.body))
		if c.refused != "" {
			f, ok := err.(*fault.Fault)
			if !ok || f.Kind != fault.InvalidRequest || c.refused != "-" && f.Param != c.refused {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || h.Model != c.model || h.TextBytes != c.text || h.N != c.n {
			t.Errorf("%s: %+v, %v", name, h, err)
			continue
		}
		if c.headerModel != "" {
			h.Model = c.headerModel
		}
		up, err := c.op.Rewrite(h, translate.Target{BasePath: "/v1", Model: c.to})
		if err != nil || string(up.Body) != c.want || up.Path != c.path {
			t.Errorf("%s: %s to %s, %v; want %s", name, up.Body, up.Path, err, c.want)
		}
	}
}

func TestPassPeek(t *testing.T) {
	for body, want := range map[string]chat.Usage{
		`{"id":"x","results":[]}`:                                                {},
		`{"data":[],"usage":{"input_tokens":7,"output_tokens":50}}`:              {Known: true, Input: 7, Output: 50},
		`{"text":"","usage":{"type":"duration","seconds":3}}`:                    {},
		`{"text":"","usage":{"prompt_tokens":3,"completion_tokens":4}}`:          {Known: true, Input: 3, Output: 4},
		`{"usage":{"input_tokens":7,"input_token_details":{"audio_tokens":70}}}`: {Known: true, Input: 7, AudioInput: 7},
		`{"usage":{"input_tokens":-7,"output_tokens":1e999}}`:                    {Known: true, Output: 1},
		`{"usage":[]}`:   {},
		`{"error":null}`: {},
	} {
		seen, err := Objects.PeekResponse([]byte(body))
		if err != nil || seen.Usage != want || !seen.End || !seen.Content {
			t.Errorf("%s: %+v, %v", body, seen, err)
		}
	}
	for _, bad := range []string{``, `<html>`, `[1]`, `{"a":`, `{"error":{"message":"no","type":"server_error"}}`} {
		if _, err := Objects.PeekResponse([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestLastUsage(t *testing.T) {
	for tail, want := range map[string]int64{
		"data: {\"type\":\"transcript.text.done\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}\n\n": 7,
		"data: {\"usage\":{\"input_tokens\":1}}\n\ndata: {\"usage\":{\"input_tokens\":2}}\n\n":             2,
		"data: {\"usage\":{\"input_tok": 0, "data: {\"usage\":null}\n\n": 0, "": 0, `"usage":`: 0,
	} {
		if got := LastUsage([]byte(tail)); got.Total() != want {
			t.Errorf("%q: %+v", tail, got)
		}
	}
}

func TestCompletionsParse(t *testing.T) {
	h, err := Completions{}.Parse([]byte(`{"model":"a","prompt":["hello","you"],"suffix":"end","max_tokens":7,"n":2,"best_of":5,"stream":true,"user":"u"}`))
	if err != nil || h.TextBytes != 11 || h.MaxTokens != 7 || h.N != 5 || !h.Stream || h.User != "u" {
		t.Fatalf("%+v, %v", h, err)
	}
	up, err := Completions{}.Rewrite(h, translate.Target{BasePath: "/v1", Model: "b"})
	if err != nil || up.Path != "/v1/completions" || !strings.Contains(string(up.Body), `"model":"b"`) || !strings.Contains(string(up.Body), `"stream_options":{"include_usage":true}`) {
		t.Errorf("%s to %s, %v", up.Body, up.Path, err)
	}
	if h, err := (Completions{}).Parse([]byte(`{"model":"a","prompt":[[1,2],[3]]}`)); err != nil || h.TextBytes != 3*tokenBytes {
		t.Errorf("%+v, %v", h, err)
	}
	for _, bad := range []string{`{"prompt":"x"}`, `{"model":"a","prompt":1}`, `{"model":"a","prompt":{"x":1}}`, `{"model":"a","n":0}`, `{"model":"a","stream":1}`, `{"model":"a","model":"b"}`, `{"model":"a","prompt":[-1]}`} {
		if _, err := (Completions{}).Parse([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

const completionStream = "data: {\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[{\"text\":\"good \",\"index\":0,\"finish_reason\":null}],\"usage\":null}\n\n" +
	"data: {\"id\":\"c\",\"choices\":[{\"text\":\"day\",\"index\":0,\"finish_reason\":\"stop\"}]}\n\n"

const completionUsage = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\n"

// TestCompletionsTap: the bytes of a stream pass, at any split, but for the usage that only the gateway asked for.
func TestCompletionsTap(t *testing.T) {
	const end = "data: [DONE]\n\n"
	all := completionStream + completionUsage + end
	for asked, want := range map[bool]string{true: all, false: completionStream + end} {
		for n := 1; n <= len(all); n++ {
			tap := Completions{}.NewTap(1<<20, translate.Answer{IncludeUsage: asked})
			var out []byte
			var err error
			for at := 0; at < len(all) && err == nil; at += n {
				out, err = tap.Write(out, []byte(all[at:min(at+n, len(all))]))
			}
			if err == nil {
				out, err = tap.Close(out)
			}
			seen := tap.Seen()
			if err != nil || string(out) != want || seen.Usage.Total() != 5 || !seen.End || seen.OutputBytes != 8 || !seen.Content {
				t.Fatalf("pieces of %d: %v, %+v\n%s", n, err, seen, out)
			}
		}
	}
	tap := Completions{}.NewTap(1<<20, translate.Answer{})
	out, err := tap.Write(nil, []byte(completionStream))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tap.Close(out); err == nil {
		t.Error("a stream without its end passes for whole")
	}
}

func TestCompletionsPeek(t *testing.T) {
	seen, err := Completions{}.PeekResponse([]byte(`{"id":"c","choices":[{"text":"good day","index":0,"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}`))
	if err != nil || seen.Usage.Total() != 5 || seen.OutputBytes != 8 || seen.Finish != chat.FinishLength {
		t.Errorf("%+v, %v", seen, err)
	}
	if _, err := (Completions{}).DecodeResponse(nil); err == nil {
		t.Error("a whole answer is made a stream of chat")
	}
}
