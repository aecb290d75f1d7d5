package anthropic_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// The conversation's parts, in short.
func text(s string) chat.Part { return chat.Part{Kind: chat.Text, Text: s} }

func say(role chat.Role, parts ...chat.Part) chat.Message {
	return chat.Message{Role: role, Parts: parts}
}

func user(s string) chat.Message { return say(chat.User, text(s)) }

func assistant(s string) chat.Message { return say(chat.Assistant, text(s)) }

func call(id, name, args string) chat.Part {
	return chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: id, Name: name, Arguments: args}}
}

func result(id string, parts ...chat.Part) chat.Message {
	return say(chat.ToolRole, chat.Part{Kind: chat.ToolResult, Result: &chat.Result{CallID: id, Parts: parts}})
}

func talk(messages ...chat.Message) *chat.Request {
	return &chat.Request{Schema: chat.OpenAI, Model: "asked", Messages: messages}
}

func withTool(r *chat.Request) *chat.Request {
	r.Tools = []chat.Tool{{Name: "f"}}
	return r
}

var target = translate.Target{Model: "claude-haiku-4-5", MaxOutput: 64000}

// encode writes r, twice, and returns the body, which must be JSON and the same both times (D83).
func encode(t *testing.T, r *chat.Request, to translate.Target) (gjson.Result, []string) {
	t.Helper()
	up, err := codec.Encode(r, to)
	if err != nil {
		t.Fatal(err)
	}
	again, err := codec.Encode(r, to)
	if err != nil || !bytes.Equal(up.Body, again.Body) {
		t.Fatalf("not stable:\n%s\n%s", up.Body, again.Body)
	}
	if !json.Valid(up.Body) {
		t.Fatalf("not JSON: %s", up.Body)
	}
	if _, err := codec.Parse(up.Body); err != nil {
		t.Fatalf("our own Parse refuses %s: %v", up.Body, err)
	}
	return gjson.ParseBytes(up.Body), up.Dropped
}

func refused(t *testing.T, r *chat.Request, kind fault.Kind, param string) {
	t.Helper()
	_, err := codec.Encode(r, target)
	if got := paramOf(t, err, kind); got != param {
		t.Errorf("names %q, want %q (%v)", got, param, err)
	}
}

// sent compares a member of the body with JSON.
func sent(t *testing.T, body gjson.Result, path, want string) {
	t.Helper()
	if got := body.Get(path).Raw; got != want {
		t.Errorf("%s:\n got %s\nwant %s", path, got, want)
	}
}

func TestEncode_plain(t *testing.T) {
	r := talk(say(chat.System, text("be brief")), user("hello"))
	r.Stream = true
	up, err := codec.Encode(r, translate.Target{BasePath: "/base", Model: "claude-haiku-4-5"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"claude-haiku-4-5","max_tokens":4096,"system":[{"type":"text","text":"be brief"}],"messages":[{"role":"user","content":"hello"}],"stream":true}`
	if string(up.Body) != want || up.Path != "/base/messages" || up.Headers[0].Value != "2023-06-01" || up.Dropped != nil {
		t.Errorf("%s %v %v\n got %s\nwant %s", up.Path, up.Headers, up.Dropped, up.Body, want)
	}
}

func TestD1_D3_D4_leading_system_blocks_hoisted_later_ones_in_place(t *testing.T) {
	r := talk(
		say(chat.System, chat.Part{Kind: chat.Text, Text: "a", Cache: &chat.CacheMark{TTL: "1h"}}, text(" ")),
		say(chat.Developer, text("b")),
		user("hi"), say(chat.System, text("c")), assistant("yes"), say(chat.Developer, text("d")), user("go"))
	body, _ := encode(t, r, target)
	sent(t, body, "system", `[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"b"}]`)
	sent(t, body, "messages", `[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"text","text":"<system>\nc\n</system>"}]},`+
		`{"role":"assistant","content":"yes"},{"role":"user","content":[{"type":"text","text":"<system>\nd\n</system>"},{"type":"text","text":"go"}]}]`)
}

func TestD5_neighbours_of_one_role_are_one_turn(t *testing.T) {
	body, _ := encode(t, talk(user("a"), user("b"), assistant("c"), assistant("d"), user("e")), target)
	sent(t, body, "messages.#.role", `["user","assistant","user"]`)
}

func TestD6_first_turn_is_the_users(t *testing.T) {
	body, _ := encode(t, talk(say(chat.System, text("s"))), target)
	sent(t, body, "messages", `[{"role":"user","content":"."}]`)
	body, _ = encode(t, talk(assistant("hello, I am"), user("who?")), target)
	sent(t, body, "messages.#.role", `["user","assistant","user"]`)
}

func TestD7_blank_text_is_left_out(t *testing.T) {
	body, _ := encode(t, talk(say(chat.User, text(""), text("a"), text(" \n\t")), assistant(""), user("b")), target)
	sent(t, body, "messages", `[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]`)
}

func TestD8_prefill_loses_trailing_white_space(t *testing.T) {
	body, _ := encode(t, talk(user("a"), assistant(" b \n ")), target)
	sent(t, body, "messages.1.content", `" b"`)
	body, _ = encode(t, talk(user("a"), assistant("b "), user("c")), target)
	sent(t, body, "messages.1.content", `"b "`)
}

func TestD9_names_of_messages_are_named(t *testing.T) {
	r := talk(user("a"))
	r.Messages[0].Name = "bob"
	_, dropped := encode(t, r, target)
	same(t, dropped, []string{"messages[0].name"})
}

func TestD10_user(t *testing.T) {
	hashed := func(s string) bool { return strings.HasPrefix(s, "user_") && len(s) == 37 }
	for in, keep := range map[string]bool{
		"u-123": true, "1234567890": true, "550e8400-e29b-41d4-a716-446655440000": true, "": true,
		"bob@example.com": false, "+49 170 1234567": false, "(555) 123-4567": false, strings.Repeat("x", 257): false,
	} {
		r := talk(user("a"))
		r.User = in
		body, _ := encode(t, r, target)
		got := body.Get("metadata.user_id").String()
		if keep && got != in || !keep && !hashed(got) {
			t.Errorf("%q is sent as %q", in, got)
		}
	}
}

func TestD45_D46_max_tokens(t *testing.T) {
	for _, c := range []struct {
		asked     *int64
		maxOutput int64
		want      int64
	}{{nil, 0, 4096}, {nil, 8192, 8192}, {ptr[int64](10), 8192, 10}, {ptr[int64](9000), 8192, 8192}, {ptr[int64](9000), 0, 9000}} {
		r := talk(user("a"))
		r.MaxTokens = c.asked
		body, _ := encode(t, r, translate.Target{Model: "m", MaxOutput: c.maxOutput})
		if got := body.Get("max_tokens").Int(); got != c.want {
			t.Errorf("%v of %d: %d, want %d", c.asked, c.maxOutput, got, c.want)
		}
	}
}

func TestD48_D51_sampling(t *testing.T) {
	for _, c := range []struct {
		name    string
		model   string
		set     func(*chat.Request)
		body    string
		dropped string
	}{
		{"in range", "claude-haiku-4-5", func(r *chat.Request) { r.Temperature = ptr(0.7) }, `"temperature":0.7`, ""},
		{"zero", "claude-haiku-4-5", func(r *chat.Request) { r.Temperature = ptr(0.0) }, `"temperature":0`, ""},
		{"default", "claude-haiku-4-5", func(r *chat.Request) { r.Temperature = ptr(1.0); r.TopP = ptr(1.0) }, ``, ""},
		{"clamped", "claude-haiku-4-5", func(r *chat.Request) { r.Temperature = ptr(1.7) }, ``, "temperature"},
		{"top_p and top_k", "claude-haiku-4-5", func(r *chat.Request) { r.TopP = ptr(0.5); r.TopK = ptr[int64](4) }, `"top_p":0.5,"top_k":4`, ""},
		{"both", "claude-haiku-4-5", func(r *chat.Request) { r.Temperature = ptr(0.5); r.TopP = ptr(0.5) }, `"temperature":0.5`, "top_p"},
		{"newer models take none", "claude-opus-5", func(r *chat.Request) { r.Temperature = ptr(0.5); r.TopP = ptr(0.5); r.TopK = ptr[int64](1) }, ``, "temperature top_p top_k"},
		{"but these", "claude-opus-4-7", func(r *chat.Request) { r.Temperature = ptr(1.0); r.TopP = ptr(0.99) }, `"top_p":0.99`, ""},
		{"penalties and seed", "m", func(r *chat.Request) {
			r.Seed, r.FrequencyPenalty, r.PresencePenalty = ptr[int64](1), ptr(0.5), ptr(-1.0)
		}, ``, "seed frequency_penalty presence_penalty"},
		{"penalties of nothing", "m", func(r *chat.Request) { r.FrequencyPenalty, r.PresencePenalty = ptr(0.0), ptr(0.0) }, ``, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := talk(user("a"))
			c.set(r)
			body, dropped := encode(t, r, translate.Target{Model: c.model})
			head := `{"model":"` + c.model + `","max_tokens":4096,"messages":[{"role":"user","content":"a"}]`
			if c.body != "" {
				head += ","
			}
			if want := head + c.body + "}"; body.Raw != want || strings.Join(dropped, " ") != c.dropped {
				t.Errorf("dropped %v\n got %s\nwant %s", dropped, body.Raw, want)
			}
		})
	}
}

func TestD53_stop(t *testing.T) {
	r := talk(user("a"))
	r.Stop = []string{"\n", "END", "", "\"q\""}
	body, dropped := encode(t, r, target)
	sent(t, body, "stop_sequences", `["END","\"q\""]`)
	same(t, dropped, []string{"stop"})
	r.Stop = []string{"\n"}
	body, _ = encode(t, r, target)
	sent(t, body, "stop_sequences", "")
}

func TestD56_D57_what_no_answer_could_hold(t *testing.T) {
	r := talk(user("a"))
	r.N = ptr[int64](2)
	refused(t, r, fault.Unsupported, "n")
	if _, err := codec.Encode(r, translate.Target{Model: "m", Lossy: true}); err == nil {
		t.Error("n is refused even by a lossy target: never silently one")
	}
	r = talk(user("a"))
	r.N, r.LogProbs = ptr[int64](1), ptr(false)
	if _, dropped := encode(t, r, target); dropped != nil {
		t.Errorf("dropped %v", dropped)
	}
	r.LogProbs = ptr(true)
	refused(t, r, fault.Unsupported, "logprobs")
	_, dropped := encode(t, r, translate.Target{Model: "m", Lossy: true})
	same(t, dropped, []string{"logprobs"})
}

func TestEncode_extras_are_refused_or_named(t *testing.T) {
	r := talk(say(chat.User, chat.Part{Kind: chat.Text, Text: "a", Extra: []chat.Extra{{Name: "messages[0].content[0].annotations"}}}))
	r.Extra = []chat.Extra{{Name: "store"}}
	_, dropped := encode(t, r, target)
	same(t, dropped, []string{"store", "messages[0].content[0].annotations"})
	r.Extra = []chat.Extra{{Name: "logit_bias", Meaning: true}}
	refused(t, r, fault.Unsupported, "logit_bias")
	_, dropped = encode(t, r, translate.Target{Model: "m", Lossy: true})
	same(t, dropped, []string{"logit_bias", "messages[0].content[0].annotations"})
}

func TestD65_D67_D70_images_and_documents(t *testing.T) {
	image := func(m chat.Media) chat.Part { return chat.Part{Kind: chat.Image, Media: &m} }
	document := func(m chat.Media) chat.Part { return chat.Part{Kind: chat.Document, Media: &m} }
	for _, c := range []struct {
		name string
		part chat.Part
		want string
	}{
		{"base64", image(chat.Media{Type: "image/jpg", Data: "AA=="}), `{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"AA=="}}`},
		{"data URI", image(chat.Media{URL: "data:image/png;base64,AAAA"}), `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}`},
		{"url", image(chat.Media{URL: "https://h/a.png?x=1"}), `{"type":"image","source":{"type":"url","url":"https://h/a.png?x=1"}}`},
		{"a PDF called image", image(chat.Media{URL: "data:application/pdf;base64,AAAA"}), `{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AAAA"}}`},
		{"a PDF's URL called image", image(chat.Media{URL: "https://h/a.PDF?x=1"}), `{"type":"document","source":{"type":"url","url":"https://h/a.PDF?x=1"}}`},
		{"PDF", document(chat.Media{Type: "application/pdf", Data: "AAAA", Name: "a.pdf"}), `{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AAAA"},"title":"a.pdf"}`},
		{"text", document(chat.Media{Type: "text/plain", Data: base64.StdEncoding.EncodeToString([]byte("a\nb"))}), `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a\nb"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, _ := encode(t, talk(say(chat.User, c.part)), target)
			sent(t, body, "messages.0.content", "["+c.want+"]")
		})
	}
	for _, c := range []struct {
		name string
		part chat.Part
		kind fault.Kind
	}{
		{"D71 file id", image(chat.Media{FileID: "file-1"}), fault.Unsupported},
		{"type nobody takes", image(chat.Media{Type: "image/svg+xml", Data: "AAAA"}), fault.Unsupported},
		{"word file", document(chat.Media{Type: "application/msword", Data: "AAAA"}), fault.Unsupported},
		{"file URL", image(chat.Media{URL: "file:///etc/passwd"}), fault.InvalidRequest},
		{"data URI of text", image(chat.Media{URL: "data:image/png,xx"}), fault.InvalidRequest},
		{"no data", image(chat.Media{Type: "image/png"}), fault.InvalidRequest},
		{"nothing", chat.Part{Kind: chat.Image}, fault.InvalidRequest},
		{"text that is not base64", document(chat.Media{Type: "text/plain", Data: "%"}), fault.InvalidRequest},
		{"D72 sound", chat.Part{Kind: chat.Audio, Media: &chat.Media{Type: "audio/wav", Data: "AA"}}, fault.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(t, talk(user("x"), assistant("y"), say(chat.User, text("z"), c.part)), c.kind, "messages[2].content[1]")
		})
	}
	r := talk(say(chat.User, image(chat.Media{URL: "https://h/a", Detail: "high"})))
	_, dropped := encode(t, r, target)
	same(t, dropped, []string{"messages[0].content[0].image_url.detail"})
	r.Messages[0].Role = chat.Assistant
	refused(t, r, fault.Unsupported, "messages[0].content[0]")
	r.Messages[0].Role = chat.System
	refused(t, r, fault.Unsupported, "messages[0].content[0]")
}

func TestD61_json_object_is_asked_for_in_words(t *testing.T) {
	r := talk(say(chat.System, text("s")), user("a"))
	r.Format = &chat.Format{}
	body, _ := encode(t, r, target)
	if got := body.Get("system.1.text").String(); !strings.Contains(got, "JSON object") || body.Get("output_config").Exists() {
		t.Errorf("got %s", body.Raw)
	}
}

func TestD62_json_schema(t *testing.T) {
	r := talk(user("a"))
	r.Format = &chat.Format{Name: "n", Description: "d", Schema: []byte(`{"type":"object","properties":{"x":{"type":"string"}}}`), Strict: ptr(true)}
	body, dropped := encode(t, r, target)
	sent(t, body, "output_config", `{"format":{"type":"json_schema","schema":{"type":"object","properties":{"x":{"type":"string"}},"additionalProperties":false}}}`)
	same(t, dropped, []string{"response_format.json_schema.description"})
}

func TestD82_at_most_four_cache_marks(t *testing.T) {
	mark := &chat.CacheMark{}
	marked := func(s string) chat.Part { return chat.Part{Kind: chat.Text, Text: s, Cache: mark} }
	r := talk(say(chat.System, marked("s1"), marked("s2")), say(chat.User, marked("u1")), say(chat.Assistant, marked("a1")), say(chat.User, marked("u2"), marked("u3")))
	r.Tools = []chat.Tool{{Name: "f", Cache: mark}, {Name: "g", Cache: mark}}
	body, dropped := encode(t, r, target)
	sent(t, body, "tools.#.cache_control", `[{"type":"ephemeral"}]`)
	if !body.Get("tools.1.cache_control").Exists() || !body.Get("system.1.cache_control").Exists() || strings.Count(body.Raw, "ephemeral") != 4 {
		t.Errorf("the last of tools and system and the latest two must stay: %s", body.Raw)
	}
	sent(t, body, "messages.2.content.#.cache_control", `[{"type":"ephemeral"},{"type":"ephemeral"}]`)
	same(t, dropped, []string{"cache_control"})

	r = talk(say(chat.System, marked("s1")), say(chat.User, marked("u1")), say(chat.Assistant, marked("a1")), say(chat.User, marked("u2")))
	if body, dropped = encode(t, r, target); strings.Count(body.Raw, "ephemeral") != 4 || dropped != nil {
		t.Errorf("four may stay: %v %s", dropped, body.Raw)
	}
}
