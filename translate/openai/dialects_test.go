package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// rewritten is what a client's body becomes for a dialect. Both leave out the model and the messages unless they say some.
type rewritten struct {
	name, dialect, in, out string
	dropped                string
	refused                string // the field, where the target is not lossy; out and dropped are the lossy result then
}

const hello = `"messages":[{"role":"user","content":"hi"}]`

var rewrites = []rewritten{
	{name: "D46 the cap has one name", dialect: "mistral", in: `"max_completion_tokens": 5`, out: `"max_tokens":5`},
	{name: "D46 the newer cap wins", dialect: "ollama", in: `"max_tokens":9,"max_completion_tokens":5`, out: `"max_tokens":5`},
	{name: "D46 a newer cap that is null", dialect: "ollama", in: `"max_tokens":9,"max_completion_tokens":null`, out: `"max_tokens":9`},
	{name: "a cap that both know stays", dialect: "groq", in: `"max_completion_tokens":5`, out: `"max_completion_tokens":5`},
	{name: "D55 seed", dialect: "mistral", in: `"seed":7`, out: `"random_seed":7`},
	{name: "D55 no seed", dialect: "deepseek", in: `"seed":7`, dropped: "seed"},
	{name: "D52 penalties", dialect: "deepseek", in: `"frequency_penalty":0.5,"presence_penalty":0`, dropped: "frequency_penalty"},
	{name: "D52 penalties of xai", dialect: "xai", in: `"presence_penalty":1,"temperature":1`, out: `"temperature":1`, dropped: "presence_penalty"},
	{name: "D53 stop of xai", dialect: "xai", in: `"stop":["x"]`, refused: "stop", dropped: "stop"},
	{name: "D53 an empty stop", dialect: "xai", in: `"stop":[]`},
	{name: "D56 n", dialect: "groq", in: `"n":2`, refused: "n", dropped: "n"},
	{name: "D56 n of one", dialect: "groq", in: `"n":1`},
	{name: "D57 logprobs", dialect: "groq", in: `"logprobs":true,"top_logprobs":2`, refused: "logprobs", dropped: "logprobs top_logprobs"},
	{name: "D57 no logprobs", dialect: "groq", in: `"logprobs":false,"top_logprobs":0`},
	{name: "D57 logit_bias", dialect: "mistral", in: `"logit_bias":{"1":2}`, refused: "logit_bias", dropped: "logit_bias"},
	{name: "what tunes cost and storage", dialect: "mistral", in: `"store":true,"safety_identifier":"a","verbosity":"low","user":"u"`, dropped: "store safety_identifier verbosity user"},
	{name: "D61 no json_object", dialect: "lmstudio", in: `"response_format":{"type":"json_object"}`, refused: "response_format.type", dropped: "response_format.type"},
	{name: "D62 no json_schema", dialect: "deepseek", in: `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}`, refused: "response_format.type", dropped: "response_format.type"},
	{name: "D62 json_schema", dialect: "mistral", in: `"response_format":{"type":"json_schema","json_schema":{"name":"n"}}`, out: `"response_format":{"type":"json_schema","json_schema":{"name":"n"}}`},
	{name: "efforts", dialect: "groq", in: `"reasoning_effort":"minimal"`, out: `"reasoning_effort":"low"`},
	{name: "efforts above", dialect: "together", in: `"reasoning_effort":"xhigh"`, out: `"reasoning_effort":"high"`},
	{name: "no effort", dialect: "together", in: `"reasoning_effort":"none"`, dropped: "reasoning_effort"},
	{name: "an unknown effort", dialect: "together", in: `"reasoning_effort":"enormous"`, dropped: "reasoning_effort"},
	{name: "D27 no named tool", dialect: "perplexity", in: `"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}}`,
		refused: "tool_choice", out: `"tools":[{"type":"function","function":{"name":"f"}}]`, dropped: "tool_choice"},
	{name: "D25 required", dialect: "mistral", in: `"tool_choice":"required"`, out: `"tool_choice":"required"`},
	{name: "D25 no choice at all", dialect: "ollama", in: `"tool_choice":"required"`, refused: "tool_choice", dropped: "tool_choice"},
	{name: "D24 auto is the default", dialect: "ollama", in: `"tool_choice":"auto"`},
	{name: "D92 usage is asked for", dialect: "groq", in: `"stream":true`, out: `"stream":true,"stream_options":{"include_usage":true}`},
	{name: "D92 usage comes unasked", dialect: "mistral", in: `"stream":true,"stream_options":{"include_usage":true}`, out: `"stream":true`},
	{name: "D92 options of a client", dialect: "groq", in: `"stream":true,"stream_options":{"x":1}`, out: `"stream":true,"stream_options":{"x":1,"include_usage":true}`},
	{name: "an extension that it knows", dialect: "fireworks", in: `"thinking":{"type":"enabled"},"top_k":3`, out: `"thinking":{"type":"enabled"},"top_k":3`},
	{name: "an extension that it does not", dialect: "groq", in: `"thinking":{"type":"enabled"},"top_k":3`, dropped: "thinking top_k"},
	{name: "the vendor's own members", dialect: "groq", in: `"reasoning_format":"parsed","search_settings":{"a":[1]}`, out: `"reasoning_format":"parsed","search_settings":{"a":[1]}`},
	{name: "null", dialect: "mistral", in: `"seed":null,"user":null,"temperature":null`, out: `"temperature":null`},
	{name: "D82 marks", dialect: "qwen", dropped: "cache_control",
		in:  `"tools":[{"type":"function","cache_control":{"type":"ephemeral"},"function":{"name":"f","cache_control":{"type":"ephemeral"}}}]`,
		out: `"tools":[{"type":"function","function":{"name":"f"}}]`},

	{name: "D1 developer", dialect: "mistral", in: `"messages":[{"role": "developer","content":"be brief"}]`, out: `"messages":[{"role": "system","content":"be brief"}]`},
	{name: "D1 developer is known", dialect: "openrouter", in: `"messages":[{"role":"developer","content":"x"}]`, out: `"messages":[{"role":"developer","content":"x"}]`},
	{name: "D9 names", dialect: "groq", in: `"messages":[{"name":"a","role":"user","content":"x"}]`, out: `"messages":[{"role":"user","content":"x"}]`, dropped: "messages[].name"},
	{name: "an answer sent back whole", dialect: "mistral",
		in:  `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","refusal":null,"annotations":[],"audio":null,"function_call":null,"tool_calls":null},{"role":"user","content":"z"}]`,
		out: `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"},{"role":"user","content":"z"}]`},
	{name: "D135 a refusal", dialect: "qwen",
		in:  `"messages":[{"role":"assistant","content":null,"refusal":"no"},{"role":"user","content":"z"}]`,
		out: `"messages":[{"role":"assistant","content":"no"},{"role":"user","content":"z"}]`},
	{name: "D135 a refusal beside a text", dialect: "qwen",
		in:  `"messages":[{"role":"assistant","content":"t","refusal":"no"}]`,
		out: `"messages":[{"role":"assistant","content":"t"}]`, dropped: "messages[].refusal"},
	{name: "D74 reasoning by its name", dialect: "groq",
		in:  `"messages":[{"role":"assistant","reasoning_content":"hm","content":"y","thinking_blocks":[{"type":"thinking"}]}]`,
		out: `"messages":[{"role":"assistant","reasoning":"hm","content":"y"}]`, dropped: "messages[].thinking_blocks"},
	{name: "D74 reasoning under both names", dialect: "groq",
		in:  `"messages":[{"role":"assistant","reasoning_content":"hm","reasoning":"hm","content":"y"}]`,
		out: `"messages":[{"role":"assistant","reasoning":"hm","content":"y"}]`},
	{name: "D74 reasoning that is not taken", dialect: "mistral",
		in:  `"messages":[{"role":"user","content":"x"},{"role":"assistant","reasoning_content":"hm","content":"y","tool_calls":[]}]`,
		out: `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","tool_calls":[]}]`, dropped: "messages[].reasoning_content"},
	{name: "D34 ids of nine", dialect: "mistral",
		in:      `"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","extra_content":{"google":{"thought_signature":"s"}},"function":{"name":"f","arguments":"{}"}},{"id":"abcDEF123","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_1","content":"1"},{"role":"tool","tool_call_id":"abcDEF123","content":"2"}]`,
		out:     `"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"` + shortID("call_1") + `","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"abcDEF123","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"` + shortID("call_1") + `","content":"1"},{"role":"tool","tool_call_id":"abcDEF123","content":"2"}]`,
		dropped: "messages[].tool_calls[].extra_content"},
	{name: "D8 a text to continue", dialect: "mistral", in: `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]`, out: `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","prefix":true}]`},
	{name: "D8 it says so itself", dialect: "mistral", in: `"messages":[{"role":"assistant","content":"y","prefix":true}]`, out: `"messages":[{"role":"assistant","content":"y","prefix":true}]`},
	{name: "D4 texts alone are one string", dialect: "groq",
		in:  `"messages":[{"role":"system","content":[{"type":"text","text":"a\"b","cache_control":{"type":"ephemeral"}},{"type":"text","text":"c"}]}]`,
		out: `"messages":[{"role":"system","content":"a\"b\nc"}]`},
	{name: "content with an image stays", dialect: "groq",
		in:  `"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{}},{"type":"image_url","image_url":{"url":"https://h/i.png"}}]}]`,
		out: `"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://h/i.png"}}]}]`, dropped: "cache_control"},
	{name: "D82 marks that are read", dialect: "openrouter",
		in:  `"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}]`,
		out: `"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}]`},
	{name: "azure knows no extension", dialect: "azure", dropped: "top_k messages[].reasoning_content messages[].thinking_blocks cache_control",
		in:  `"top_k":3,"messages":[{"role":"assistant","reasoning_content":"hm","thinking_blocks":[{}],"content":[{"type":"text","text":"a","cache_control":{}}],"refusal":null,"annotations":[]}]`,
		out: `"messages":[{"role":"assistant","content":[{"type":"text","text":"a"}],"refusal":null,"annotations":[]}]`},
	{name: "azure is OpenAI's", dialect: "azure", in: `"seed":7,"store":true,"messages":[{"role":"developer","name":"n","content":[{"type":"text","text":"a"}]}]`,
		out: `"seed":7,"store":true,"messages":[{"role":"developer","name":"n","content":[{"type":"text","text":"a"}]}]`},
}

func request(members string) []byte {
	if !strings.Contains(members, `"messages"`) {
		members = strings.Trim(members+","+hello, ",")
	}
	return []byte(`{"model":"m",` + members + `}`)
}

// The members come out in their order; what is renamed or added is where it was, or at the end.
func TestRewrite_dialects(t *testing.T) {
	for _, c := range rewrites {
		t.Run(c.dialect+": "+c.name, func(t *testing.T) {
			body := request(c.in)
			before := bytes.Clone(body)
			h, err := Codec{}.Parse(body)
			if err != nil {
				t.Fatal(err)
			}
			to := translate.Target{BasePath: "/v1", Model: "m", Dialect: c.dialect}
			up, err := Codec{}.Rewrite(h, to)
			var f *fault.Fault
			if c.refused != "" {
				if !errors.As(err, &f) || f.Kind != fault.Unsupported || f.Param != c.refused {
					t.Fatalf("got %v, want it refused for %s", err, c.refused)
				}
				to.Lossy = true
				up, err = Codec{}.Rewrite(h, to)
			}
			if err != nil {
				t.Fatal(err)
			}
			if same := equalJSON(up.Body, request(c.out)); !same || strings.Join(up.Dropped, " ") != c.dropped {
				t.Errorf("%s\nwant %s\ndropped %q, want %q", up.Body, request(c.out), up.Dropped, c.dropped)
			}
			if !bytes.Equal(body, before) {
				t.Error("the client's body was written to")
			}
			if up.Path != "/v1/chat/completions" {
				t.Error(up.Path)
			}
		})
	}
}

func equalJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

// What needs no change stays byte for byte, white space and unknown members too.
func TestRewrite_keeps_every_other_byte(t *testing.T) {
	const body = " { \"temperature\" : 1e0, \"unknown\":{ \"a\" : [ 1 ,2] } , \"model\" : \"m\",\n \"messages\" : [ { \"role\" : \"user\" , \"content\" : \"\\u00e9\" } ] } \n"
	h, err := Codec{}.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	for name := range dialects {
		up, err := Codec{}.Rewrite(h, translate.Target{Model: "m", Dialect: name})
		if err != nil || string(up.Body) != body || len(up.Dropped) > 0 {
			t.Errorf("%s: %q, %q %v", name, up.Body, up.Dropped, err)
		}
		up, _ = Codec{}.Rewrite(h, translate.Target{Model: "other", Dialect: name})
		if want := strings.Replace(body, `"m"`, `"other"`, 1); string(up.Body) != want {
			t.Errorf("%s: %q", name, up.Body)
		}
	}
}

func TestDialects_rows(t *testing.T) {
	for name, d := range dialects {
		for m := range d.takes {
			own := slices.Contains([]string{"random_seed"}, m)
			if !own && !inTable(m) {
				t.Errorf("%s takes %s, which is no member of the schema", name, m)
			}
		}
		for _, m := range []string{"model", "messages", "stream", "temperature", "max_tokens", "tools", "response_format"} {
			if d.member(m) == "" {
				t.Errorf("%s takes no %s", name, m)
			}
		}
		if d.cap != "" && d.cap != maxTokensMember && d.cap != completionMember {
			t.Errorf("%s: cap %s", name, d.cap)
		}
		for i, w := range d.efforts {
			if effortRank(w) < 0 || i > 0 && effortRank(w) <= effortRank(d.efforts[i-1]) {
				t.Errorf("%s: efforts %q", name, d.efforts)
			}
		}
	}
	if dialectOf(translate.Target{}) != nil || dialectOf(translate.Target{Dialect: "nobody"}) != nil {
		t.Error("OpenAI itself has no row")
	}
}

func TestAzure_paths(t *testing.T) {
	r := &chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "hi"}}}}}
	for _, c := range []struct {
		t    translate.Target
		want string
	}{
		{translate.Target{BasePath: "/openai", Model: "my gpt/4", APIVersion: "2024-10-21"}, "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21"},
		{translate.Target{BasePath: "/openai/v1", Model: "gpt"}, "/openai/v1/chat/completions"},
	} {
		c.t.Dialect = "azure"
		up, err := Codec{}.Encode(r, c.t)
		if err != nil || up.Path != c.want {
			t.Errorf("%+v %v", up, err)
		}
		h, _ := Codec{}.Parse([]byte(`{"model":"m",` + hello + `}`))
		if up, err = (Codec{}).Rewrite(h, c.t); err != nil || up.Path != c.want {
			t.Errorf("%+v %v", up, err)
		}
	}
	e := Embeddings{}
	h, err := e.Parse([]byte(`{"model":"m","input":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	up, err := e.Rewrite(h, translate.Target{BasePath: "/openai", Model: "e", APIVersion: "1", Dialect: "azure"})
	if err != nil || up.Path != "/openai/deployments/e/embeddings?api-version=1" {
		t.Errorf("%+v %v", up, err)
	}
}

func TestRewrite_images_by_url_need_bytes(t *testing.T) {
	h, err := Codec{}.Parse(request(`"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://h/i.png"}}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Codec{}.Rewrite(h, translate.Target{Model: "m", Dialect: "ollama", Lossy: true})
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != translate.NeedsBytes || f.Param != "messages[0].content[1]" {
		t.Errorf("%+v", err)
	}
}

func TestShortID(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []string{"", "a", "abcdefghi", "toolu_01AbC", "call_1", "call_2", strings.Repeat("x", 500), "abcdefgh-"} {
		short := shortID(id)
		if len(short) != 9 || shortID(short) != short || seen[short] || shortID(id) != short {
			t.Errorf("%q: %q", id, short)
		}
		seen[short] = true
	}
}

func FuzzRewrite_dialects(f *testing.F) {
	for _, c := range rewrites {
		f.Add(string(request(c.in)))
	}
	f.Fuzz(func(t *testing.T, body string) {
		h, err := Codec{}.Parse([]byte(body))
		if err != nil {
			return
		}
		for name := range dialects {
			up, err := Codec{}.Rewrite(h, translate.Target{Model: "other", Dialect: name, Lossy: true})
			if err != nil {
				continue
			}
			again, err := Codec{}.Parse(up.Body)
			if err != nil {
				t.Fatalf("%s: %s becomes %s: %v", name, body, up.Body, err)
			}
			if again.Model != "other" || again.Stream != h.Stream || again.Messages != h.Messages {
				t.Fatalf("%s: %s becomes %s", name, body, up.Body)
			}
		}
	})
}
