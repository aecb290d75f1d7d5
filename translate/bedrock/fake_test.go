package bedrock_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/test/fakeprovider"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// converse sends a request to the fake and reads its answer as a stream or whole, bytes in pieces of n.
func converse(t *testing.T, fake *fakeprovider.Server, r *chat.Request, n int) (*chat.Response, error) {
	t.Helper()
	up, err := codec.Encode(r, translate.Target{Model: haiku, MaxOutput: 8192})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, fake.URL()+up.Path, strings.NewReader(string(up.Body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+fake.Key())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var body [4096]byte
		k, _ := resp.Body.Read(body[:])
		return nil, codec.DecodeFault(resp.StatusCode, resp.Header.Get, body[:k])
	}
	if !r.Stream {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return codec.DecodeResponse(body)
	}
	acc, d, buf := chat.NewAccumulator(1<<20), codec.NewDecoder(maxEvent), make([]byte, n)
	for {
		k, readErr := resp.Body.Read(buf)
		if err := d.Decode(buf[:k], acc.Add); err != nil {
			return nil, err
		}
		if readErr != nil {
			break
		}
	}
	if err := d.Close(acc.Add); err != nil {
		return nil, err
	}
	out, ok := acc.Response()
	if !ok {
		return nil, acc.Fault()
	}
	return out, nil
}

// TestConversation: thinking, calls and results over several turns; the fake holds its own signatures against what comes back.
func TestConversation(t *testing.T) {
	fake := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Bedrock})
	reply := &fakeprovider.Reply{SplitBytes: 5, Blocks: []fakeprovider.Block{
		{Kind: fakeprovider.ThinkingBlock, Text: "two \U0001f600 calls"}, {Kind: fakeprovider.RedactedBlock, Text: "hidden"},
		{Kind: fakeprovider.TextBlock, Text: "Looking."}, fakeprovider.Call("get_weather", `{"city":"Łódź"}`), fakeprovider.Call("now", ""),
	}}
	for _, stream := range []bool{false, true} {
		fake.Next(reply)
		r := decode(t, "openai", []byte(`{"model":"m","reasoning_effort":"low","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"get_weather"}},{"type":"function","function":{"name":"now"}}]}`))
		r.Stream = stream
		out, err := converse(t, fake, r, 3)
		if err != nil {
			t.Fatal(err)
		}
		c := out.Choices[0]
		if len(c.Parts) != 5 || c.Finish != chat.FinishToolCalls || c.Parts[3].Call.Arguments != `{"city":"Łódź"}` || c.Parts[4].Call.Arguments != "{}" || !out.Usage.Known {
			t.Fatalf("%+v %+v", c, out.Usage)
		}
		r.Messages = append(r.Messages, chat.Message{Role: chat.Assistant, Parts: c.Parts})
		for _, i := range []int{4, 3} {
			r.Messages = append(r.Messages, chat.Message{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{
				CallID: c.Parts[i].Call.ID, Parts: []chat.Part{{Kind: chat.Text, Text: "r"}}}}}})
		}
		if out, err = converse(t, fake, r, 100); err != nil || !strings.HasPrefix(lastText(out), "results: ") {
			t.Fatalf("%v %+v", err, out)
		}
	}
}

func lastText(r *chat.Response) string {
	parts := r.Choices[0].Parts
	return parts[len(parts)-1].Text
}

func TestFakesFaults(t *testing.T) {
	fake := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Bedrock})
	r := decode(t, "openai", []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"one two three"}]}`))
	for name, c := range map[string]struct {
		fault fakeprovider.Fault
		want  fault.Kind
		text  string
	}{
		"throttled":  {fakeprovider.Fault{Kind: fakeprovider.Status, Status: 429, RetryAfter: "3"}, fault.RateLimited, "Too many requests"},
		"event":      {fakeprovider.Fault{Kind: fakeprovider.ErrorEvent, After: 2, Status: 424, Type: "ModelStreamErrorException"}, fault.ProviderError, "unexpected error"},
		"checksum":   {fakeprovider.Fault{Kind: fakeprovider.BadChecksum, After: 2}, fault.ProviderFailed, "checksum"},
		"cut":        {fakeprovider.Fault{Kind: fakeprovider.Cut, After: 3}, fault.ProviderFailed, "ended before"},
		"early":      {fakeprovider.Fault{Kind: fakeprovider.EndEarly, After: 3}, fault.ProviderFailed, "ended before"},
		"endless":    {fakeprovider.Fault{Kind: fakeprovider.EndlessLine, Bytes: 4 << 20}, fault.ProviderFailed, "more than"},
		"HTML":       {fakeprovider.Fault{Kind: fakeprovider.HTML200}, fault.ProviderFailed, "checksum"},
		"HTML error": {fakeprovider.Fault{Kind: fakeprovider.HTML502}, fault.ProviderError, "Bad Gateway"},
		"empty":      {fakeprovider.Fault{Kind: fakeprovider.EmptyBody}, fault.ProviderFailed, "ended before"},
	} {
		fake.Fail(1, c.fault)
		_, err := converse(t, fake, r, 50)
		if err == nil {
			t.Errorf("%s: no fault", name)
			continue
		}
		if f := asFault(t, err); f.Kind != c.want || !strings.Contains(f.Message, c.text) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
