package bedrock_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/test/fakeprovider"
	"dragoman/translate"
	"dragoman/translate/bedrock"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
)

func isFault(err error) bool {
	var f *fault.Fault
	return err == nil || errors.As(err, &f)
}

// FuzzEncode: whatever an OpenAI client's request says, it is refused with a fault or becomes a request that the strict fake
// of the service accepts.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"m","messages":[{"role":"assistant","content":"x","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required"}`,
		`{"model":"m","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"oneOf":[{"type":"string"}]}}}}},"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`,
		`{"model":"m","reasoning_effort":"high","temperature":1.5,"stop":["a"," "],"messages":[{"role":"system","content":"x"},{"role":"tool","tool_call_id":"2","content":" "}]}`,
	} {
		f.Add([]byte(s), 0)
	}
	fake := fakeprovider.Start(f, fakeprovider.Options{Schema: fakeprovider.Bedrock, Models: []string{"*"}})
	models := []string{haiku, "us.amazon.nova-2-lite-v1:0", "meta.llama3-3-70b-instruct-v1:0", "mistral.mistral-large-2407-v1:0", "anthropic.claude-3-haiku-20240307-v1:0", "amazon.titan-text-express-v1"}
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		h, err := openai.Codec{}.Parse(body)
		if err != nil {
			return
		}
		r, err := openai.Codec{}.Decode(h)
		if err != nil {
			return
		}
		up, err := codec.Encode(r, translate.Target{Model: models[n&0xff%len(models)], Lossy: n&1 == 0, MaxOutput: 8192})
		if !isFault(err) {
			t.Fatal(err)
		}
		if err == nil && !h.Stream {
			accepted(t, fake, up)
		}
	})
}

// FuzzStream: any bytes in any split give the same events or a fault, in the order of chat.EventKind; the tap agrees.
func FuzzStream(f *testing.F) {
	f.Add("messageStart {}\ncontentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}\nmessageStop {\"stopReason\":\"x\"}\nmetadata {}", 7, false)
	f.Add("contentBlockStart {\"contentBlockIndex\":1,\"start\":{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"b\"}}}\n!throttlingException {}", 1, false)
	f.Add("\x00\x00\x00\x10", 3, true)
	f.Fuzz(func(t *testing.T, text string, n int, raw bool) {
		in := []byte(text)
		if !raw {
			lines := strings.Split(text, "\n")
			for _, l := range lines {
				if kind, _, _ := strings.Cut(l, " "); len(kind) > 1<<15 {
					return
				}
			}
			in = stream(lines...)
		}
		n = n&0xff + 1
		got, err := told(in, n)
		want, wantErr := told(in, len(in)+1)
		if strings.Join(got, "\n") != strings.Join(want, "\n") || (err == nil) != (wantErr == nil) || !isFault(err) {
			t.Fatalf("pieces of %d: %v %v\n%q\n%q", n, err, wantErr, got, want)
		}
		if err == nil {
			checkOrder(t, got)
		}
		tap := codec.NewTap(maxEvent, translate.Answer{})
		out, tapErr := tap.Write(nil, in)
		if tapErr == nil {
			out, tapErr = tap.Close(out)
		}
		if err != nil && tapErr == nil || !strings.HasPrefix(string(in), string(out)) {
			t.Fatalf("tap: %v, decoder: %v", tapErr, err)
		}
	})
}

// checkOrder holds a whole stream's events against the order that chat.EventKind documents.
func checkOrder(t *testing.T, lines []string) {
	t.Helper()
	open, state := map[string]bool{}, 0
	for i, l := range lines {
		f := strings.Fields(l)
		ok := state == 1
		switch f[0] {
		case "1":
			state++
			ok = state == 1
		case "2":
			ok = ok && !open[f[1]]
			open[f[1]] = true
		case "3", "4", "5":
			ok = ok && open[f[1]]
			if f[0] == "5" {
				delete(open, f[1])
			}
		case "8":
			ok = ok && i == len(lines)-1 && len(open) == 0
		case "9":
			ok = i == len(lines)-1
		}
		if !ok {
			t.Fatalf("event %d of %q", i, lines)
		}
	}
}

// FuzzAnswer: no body makes a reader of answers fail otherwise than by a fault.
func FuzzAnswer(f *testing.F) {
	f.Add(200, whole(`{"text":"x"}`, "end_turn"))
	f.Add(400, []byte(`{"__type":"a#B","message":"AKIAIOSFODNN7EXAMPLE"}`))
	f.Add(200, []byte(`{"embeddings":{"float":[[1]]},"results":[{"index":1}]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r, err := codec.DecodeResponse(body)
		_, peekErr := codec.PeekResponse(body)
		if !isFault(err) || (err == nil) != (peekErr == nil) {
			t.Fatalf("%v %v", err, peekErr)
		}
		if err == nil {
			for _, p := range r.Choices[0].Parts {
				if p.Kind == chat.ToolCall && !json.Valid([]byte(p.Call.Arguments)) {
					t.Fatalf("arguments %q", p.Call.Arguments)
				}
			}
		}
		for _, p := range []translate.Provider{bedrock.Embeddings{}, bedrock.Rerank{}} {
			if _, err := p.DecodeResponse(body); !isFault(err) {
				t.Fatal(err)
			}
		}
		if fa := codec.DecodeFault(status, noHeader, body); fa == nil || fa.Message == "" || len(fa.Message) > 2000 {
			t.Fatalf("%+v", fa)
		}
	})
}

func noHeader(string) string { return "" }
