package cohere

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

const done = "data: [DONE]\n\n"

func event(kind, members string) string {
	if members != "" {
		members = "," + members
	}
	return fmt.Sprintf("event: %s\ndata: {\"type\":%q%s}\n\n", kind, kind, members)
}

// read decodes a whole stream.
func read(t *testing.T, stream string) (events []chat.Event, err error) {
	t.Helper()
	d := Codec{}.NewDecoder(1 << 20)
	keep := func(ev *chat.Event) { events = append(events, *ev) }
	if err = d.Decode([]byte(stream), keep); err == nil {
		err = d.Close(keep)
	}
	return events, err
}

func TestD90_TokensAreCountedAndBilledUnitsCharged(t *testing.T) {
	usage := `"usage":{"billed_units":{"input_tokens":5,"output_tokens":7},"tokens":{"input_tokens":66.0,"output_tokens":9},"cached_tokens":60}`
	want, billed := chat.Usage{Known: true, Input: 6, CacheRead: 60, Output: 9}, chat.Billed{Known: true, Input: 5, Output: 7}
	body := []byte(`{"id":"a","finish_reason":"COMPLETE","message":{"content":[{"type":"text","text":"x"}]},` + usage + `}`)
	r, err := Codec{}.DecodeResponse(body)
	if err != nil {
		t.Fatal(err)
	}
	same(t, []any{r.Usage, r.Billed}, []any{want, billed})
	seen, err := Codec{}.PeekResponse(body)
	if err != nil {
		t.Fatal(err)
	}
	same(t, []any{seen.Usage, seen.Billed}, []any{want, billed})
	s := translate.NewStream(Codec{}, Codec{}, 1<<20, translate.Answer{})
	if _, err := s.Write(nil, []byte(event("message-start", `"id":"a"`)+event("message-end", `"delta":{"finish_reason":"COMPLETE",`+usage+`}`)+done)); err != nil {
		t.Fatal(err)
	}
	same(t, []any{s.Seen().Usage, s.Seen().Billed, s.Seen().End}, []any{want, billed, true})
	out, err := Codec{}.EncodeResponse(r, translate.Answer{})
	if err != nil || !strings.Contains(string(out), `"usage":{"billed_units":{"input_tokens":5,"output_tokens":7},"tokens":{"input_tokens":66,"output_tokens":9},"cached_tokens":60}`) {
		t.Errorf("%v %s", err, out)
	}
}

func TestUsageOfOneKindStandsForBoth(t *testing.T) {
	r, err := Codec{}.DecodeResponse([]byte(`{"id":"a","message":{"content":[]},"usage":{"billed_units":{"input_tokens":5,"output_tokens":7}}}`))
	if err != nil {
		t.Fatal(err)
	}
	same(t, r.Usage, chat.Usage{Known: true, Input: 5, Output: 7})
	if r, err = (Codec{}).DecodeResponse([]byte(`{"id":"a","message":{"content":[]},"usage":{}}`)); err != nil || r.Usage.Known { // D91
		t.Errorf("%v %+v", err, r)
	}
}

func TestD103_FinishReasons(t *testing.T) {
	for word, want := range map[string]chat.Finish{
		"COMPLETE": chat.FinishStop, "STOP_SEQUENCE": chat.FinishStopSequence, "MAX_TOKENS": chat.FinishLength, "TOOL_CALL": chat.FinishToolCalls,
		"ERROR_TOXIC": chat.FinishContentFilter, "ERROR_LIMIT": chat.FinishContext, "SOMETHING_NEW": chat.FinishOther, // D105
	} {
		r, err := Codec{}.DecodeResponse([]byte(`{"id":"a","finish_reason":"` + word + `","message":{"content":[{"type":"text","text":"x"}]}}`))
		if err != nil || r.Choices[0].Finish != want || r.Choices[0].RawFinish != word {
			t.Errorf("%s: %v %+v", word, err, r)
		}
		events, err := read(t, event("message-end", `"delta":{"finish_reason":"`+word+`"}`))
		if err != nil || events[1].Finish != want {
			t.Errorf("%s streamed: %v %+v", word, err, events)
		}
	}
	for word, kind := range map[string]fault.Kind{"ERROR": fault.ProviderError, "TIMEOUT": fault.ProviderTimeout} {
		_, err := Codec{}.DecodeResponse([]byte(`{"id":"a","finish_reason":"` + word + `","message":{"content":[]}}`))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != kind {
			t.Errorf("%s: %v", word, err)
		}
		events, err := read(t, event("message-end", `"delta":{"finish_reason":"`+word+`","error":"it broke"}`))
		if err != nil || len(events) != 1 || events[0].Kind != chat.EventError || events[0].Fault.Kind != kind || events[0].Fault.Message != "it broke" {
			t.Errorf("%s streamed: %v %+v", word, err, events)
		}
	}
	for finish, want := range map[chat.Finish]string{
		chat.FinishStop: "COMPLETE", chat.FinishStopSequence: "STOP_SEQUENCE", chat.FinishLength: "MAX_TOKENS", chat.FinishToolCalls: "TOOL_CALL",
		chat.FinishContext: "MAX_TOKENS", chat.FinishRefusal: "COMPLETE", chat.FinishContentFilter: "COMPLETE", chat.FinishPause: "COMPLETE", chat.FinishOther: "COMPLETE",
	} {
		same(t, finishWord(finish, "foreign"), want)
	}
}

// Every event of the schema, in one stream; debug and unknown ones are read over.
func TestD120_Events(t *testing.T) {
	stream := event("message-start", `"id":"a"`) + event("debug", `"prompt":"p"`) +
		event("content-start", `"index":0,"delta":{"message":{"content":{"type":"thinking","thinking":""}}}`) +
		event("content-delta", `"index":0,"delta":{"message":{"content":{"thinking":"hm"}}}`) + event("content-end", `"index":0`) +
		event("tool-plan-delta", `"delta":{"message":{"tool_plan":"I "}}`) + event("tool-plan-delta", `"delta":{"message":{"tool_plan":"will"}}`) +
		event("tool-call-start", `"index":0,"delta":{"message":{"tool_calls":{"id":"c0","type":"function","function":{"name":"f","arguments":""}}}}`) +
		event("tool-call-delta", `"index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{}"}}}}`) + event("tool-call-end", `"index":0`) +
		event("tool-call-start", `"index":1,"delta":{"message":{"tool_calls":{"id":"c1","function":{"name":"g"}}}}`) + event("tool-call-end", `"index":1`) +
		event("of-tomorrow", `"index":9`) + event("message-end", `"delta":{"finish_reason":"TOOL_CALL","usage":{"tokens":{"input_tokens":1,"output_tokens":2}}}`) + done
	acc := chat.NewAccumulator(1 << 20)
	d := Codec{}.NewDecoder(1 << 20)
	if err := d.Decode([]byte(stream), acc.Add); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(acc.Add); err != nil {
		t.Fatal(err)
	}
	r, ok := acc.Response()
	if !ok {
		t.Fatal(acc.Fault())
	}
	same(t, r.Choices[0].Parts, []chat.Part{
		{Kind: chat.Thinking, Text: "hm", Signature: ownThinking}, text("I will"), call("c0", "f", "{}"), call("c1", "g", "{}"), // D33
	})
	same(t, []any{r.ID, r.Choices[0].Finish, r.Usage}, []any{"a", chat.FinishToolCalls, chat.Usage{Known: true, Input: 1, Output: 2}})
}

func TestStreamsOfOtherShapes(t *testing.T) {
	for name, c := range map[string]struct{ stream, want string }{
		"no content-start":       {event("content-delta", `"index":0,"delta":{"message":{"content":{"text":"x"}}}`) + event("message-end", `"delta":{"finish_reason":"COMPLETE"}`), ""},
		"type in the event line": {"event: message-end\ndata: {\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n", ""},
		"no blank line":          {"event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\"}}", ""},
		"only [DONE]":            {done, "ended before"},
		"empty":                  {"", "ended before"},
		"a web page":             {"<html><body>Bad Gateway</body></html>", "web page"},
		"an error body":          {`{"message":"no such model"}`, "no such model"},
		"an error event":         {"data: {\"message\":\"it broke\"}\n\n", ""},
		"not JSON":               {"data: {nope}\n\n", "no JSON object"},
		"arguments without call": {event("tool-call-delta", `"index":3,"delta":{"message":{"tool_calls":{"function":{"arguments":"{}"}}}}`), "not open"},
		"too many calls": {strings.Repeat(event("tool-call-start", `"index":0,"delta":{"message":{"tool_calls":{"id":"c"}}}`), maxCalls+1),
			"more than"},
	} {
		_, err := read(t, c.stream)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Offsets count characters here and bytes in the neutral form; several sources make several citations and come together again.
func TestD134_Citations(t *testing.T) {
	answer := `{"id":"a","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"Łódź is a city."}],"citations":[` +
		`{"start":0,"end":4,"text":"Łódź","sources":[{"type":"document","id":"doc:0","document":{"title":"Map","url":"https://x.example","snippet":"Łódź"}},{"type":"document","id":"doc:1","document":{"title":"Atlas"}}],"content_index":0,"type":"TEXT_CONTENT"}]}}`
	r, err := Codec{}.DecodeResponse([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	same(t, r.Choices[0].Parts[0].Citations, []chat.Citation{{Title: "Map", URL: "https://x.example", Quote: "Łódź", Start: 0, End: 7}, {Title: "Atlas", Start: 0, End: 7}})
	out, err := Codec{}.EncodeResponse(r, translate.Answer{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, string(out), answer)
	for name, citation := range map[string]string{
		"far away": `{"start":900,"end":1000,"sources":[{"id":"x"}],"content_index":0}`, "backwards": `{"start":9,"end":3,"sources":[{"id":"x"}]}`,
		"elsewhere": `{"start":0,"end":1,"sources":[{"id":"x"}],"content_index":7}`, "odd": `{"start":-1,"end":"2","sources":[5,{"document":7}],"content_index":-3}`,
	} {
		body := `{"id":"a","message":{"content":[{"type":"text","text":"abc"}],"citations":[5,` + citation + `]}}`
		r, err := Codec{}.DecodeResponse([]byte(body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, c := range r.Choices[0].Parts[0].Citations {
			if c.Start < 0 || c.End > 3 || c.Start > c.End {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

func TestD121_Faults(t *testing.T) {
	for body, want := range map[string]struct {
		status int
		kind   fault.Kind
	}{
		`{"message":"too many tokens: total number of tokens in the prompt cannot exceed 4081"}`: {400, fault.ContextLength},
		`{"message":"too many tokens: max tokens must be less than or equal to 4096"}`:           {400, fault.InvalidRequest},
		`{"message":"invalid request: list of documents must not be empty"}`:                     {400, fault.InvalidRequest},
		`{"message":"invalid api token"}`:                                                        {401, fault.ProviderAuth},
		`{"message":"Please add or update your payment method"}`:                                 {402, fault.QuotaExhausted},
		`{"message":"model 'x' not found"}`:                                                      {404, fault.NotFound},
		`{"message":"unprocessable"}`:                                                            {422, fault.InvalidRequest},
		`{"message":"You are past the per minute request limit"}`:                                {429, fault.RateLimited},
		`{"message":"You are using a Trial key, which is limited to 1000 API calls / month."}`:   {429, fault.QuotaExhausted},
		`{"message":"blocked input"}`:                                                            {498, fault.ContentFiltered},
		`{"message":"request cancelled by user"}`:                                                {499, fault.ProviderFailed},
		`{"message":"internal server error"}`:                                                    {500, fault.ProviderError},
		`{"message":"unavailable"}`:                                                              {503, fault.Overloaded},
		`{"message":"deadline"}`:                                                                 {504, fault.ProviderTimeout},
		`{"error":{"message":"from a server in front"}}`:                                         {502, fault.ProviderError},
	} {
		f := Codec{}.DecodeFault(want.status, func(string) string { return "" }, []byte(body))
		if f.Kind != want.kind || f.Message == "" || strings.Contains(f.Message, "{") {
			t.Errorf("%s: %+v", body, f)
		}
	}
	f := Codec{}.DecodeFault(429, func(name string) string { return map[string]string{"retry-after": "7"}[name] }, []byte(`{"message":"x"}`))
	same(t, f.RetryAfter.Seconds(), 7.0)
	status, body := Codec{}.EncodeFault(&fault.Fault{Kind: fault.ContextLength, Message: "It is long.", Param: "messages"}, "req-1")
	same(t, fmt.Sprint(status, " ", string(body)), `400 {"id":"req-1","message":"too many tokens: messages: It is long."}`)
}

// A tap must not pass an error that repeats a credential.
func TestTapRedacts(t *testing.T) {
	tap := Codec{}.NewTap(1<<20, translate.Answer{RequestID: "req-1"})
	out, err := tap.Write(nil, []byte(event("message-end", `"delta":{"finish_reason":"ERROR","error":"bad key Bearer abcdefghijklmnop"}`)))
	if err != nil || strings.Contains(string(out), "abcdefghijkl") || !strings.Contains(string(out), "[redacted]") || tap.Seen().Fault == nil {
		t.Errorf("%v %s", err, out)
	}
}
