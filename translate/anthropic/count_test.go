package anthropic_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/chat"
)

var count = anthropic.CountTokens{}

func TestCountNeedsNoMaxTokens(t *testing.T) {
	body := `{"model":"m","messages":[{"role":"user","content":"hello"}],"system":"x","tools":[{"name":"f","input_schema":{"type":"object"}}]}`
	h, err := count.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if h.Model != "m" || h.Messages != 1 || h.Tools != 1 || h.Stream || h.InputTokens() <= 0 {
		t.Errorf("%+v", h)
	}
	up, err := count.Rewrite(h, translate.Target{BasePath: "/v1", Model: "o"})
	if err != nil || up.Path != "/v1/messages/count_tokens" || string(up.Body) != strings.Replace(body, `"m"`, `"o"`, 1) || up.Headers[0].Name != "anthropic-version" {
		t.Errorf("%v %+v %s", err, up, up.Body)
	}
	if r, err := count.Decode(h); err != nil || len(r.Messages) != 2 || len(r.Tools) != 1 {
		t.Errorf("%v %+v", err, r)
	}
	for body, param := range map[string]string{
		`{"messages":[{"role":"user","content":"x"}]}`: "model", `{"model":"m"}`: "messages", `{"model":"m","messages":[]}`: "messages",
		`{"model":"m","messages":[{"role":"user"}]}`: "messages[0].content",
	} {
		_, err := count.Parse([]byte(body))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Param != param {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// What only shapes an answer is no part of a prompt: the operation refuses it.
func TestCountOfAnotherSchemasRequest(t *testing.T) {
	half, many := 0.5, int64(3)
	r := &chat.Request{
		Messages:    []chat.Message{{Role: chat.System, Parts: []chat.Part{{Kind: chat.Text, Text: "s"}}}, {Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "x"}}}},
		Temperature: &half, TopP: &half, TopK: &many, N: &many, Seed: &many, Stop: []string{"a"}, User: "bob", Stream: true, MaxTokens: &many,
	}
	up, err := count.Encode(r, translate.Target{BasePath: "/v1", Model: "claude-haiku-4-5", MaxOutput: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if string(up.Body) != `{"model":"claude-haiku-4-5","system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"x"}]}` || len(up.Dropped) != 0 || up.Path != "/v1/messages/count_tokens" {
		t.Errorf("%s %s, dropped %v", up.Path, up.Body, up.Dropped)
	}
	if r.Temperature == nil || !r.Stream {
		t.Error("the request was changed")
	}
}

func TestCountAnswers(t *testing.T) {
	if got := string(anthropic.EncodeCount(42)); got != `{"input_tokens":42}` {
		t.Error(got)
	}
	n := int64(42)
	out, err := count.EncodeResponse(&chat.Response{Count: &n}, translate.Answer{})
	if err != nil || !json.Valid(out) {
		t.Fatal(err)
	}
	r, err := count.DecodeResponse(out)
	if err != nil || *r.Count != 42 || r.Usage.Known {
		t.Errorf("%v %+v", err, r)
	}
	if seen, err := count.PeekResponse(out); err != nil || !seen.End || seen.Usage.Known {
		t.Errorf("%v %+v", err, seen)
	}
	if _, err := count.EncodeResponse(&chat.Response{}, translate.Answer{}); err == nil {
		t.Error("an answer without a count")
	}
	for _, body := range []string{``, `{}`, `{"input_tokens":"4"}`, `[]`, `{"input_tokens":4`, `<html>`} {
		_, err := count.DecodeResponse([]byte(body))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.ProviderFailed {
			t.Errorf("%s: %v", body, err)
		}
	}
	_, err = count.DecodeResponse([]byte(`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`))
	var f *fault.Fault
	if !errors.As(err, &f) || f.Kind != fault.Overloaded {
		t.Errorf("%v", err)
	}
}

func FuzzCount(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"hello"}],"system":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := count.Parse(body)
		if err != nil {
			return
		}
		r, err := count.Decode(h)
		if err != nil {
			return
		}
		up, err := count.Encode(r, translate.Target{Model: "m", Lossy: true})
		if err != nil {
			return
		}
		if again, err := count.Parse(up.Body); err != nil || again.Field("max_tokens") != nil {
			t.Fatalf("%v: %s became %s", err, body, up.Body)
		}
	})
}
