package fakeprovider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
)

const bedrockClaude = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"

func startBedrock(t *testing.T) (*Server, *bedrockruntime.Client) {
	t.Helper()
	s := Start(t, Options{Schema: Bedrock, AllowHeaders: SDKHeaders})
	return s, bedrockClient(s, DefaultAWSKey)
}

// bedrockClient is the official SDK, pointed straight at a fake. The SDK closes a request's body as soon as the answer begins; a transport
// that has yet to read the body's end takes that for a failed write and closes the connection, so the transport gets a body of its own.
func bedrockClient(s *Server, k AWSKey) *bedrockruntime.Client {
	return bedrockruntime.New(bedrockruntime.Options{
		Region: k.Region, BaseEndpoint: aws.String(s.URL()), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Session}, nil
		}),
		HTTPClient: doer(func(r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				b, err := io.ReadAll(r.Body)
				if err != nil {
					return nil, err
				}
				r.Body = io.NopCloser(bytes.NewReader(b))
			}
			return http.DefaultClient.Do(r)
		}),
	})
}

func userSays(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

var weatherTool = &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
	Name:        aws.String("get_weather"),
	InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}})},
}}}}

func textIn(t *testing.T, out *bedrockruntime.ConverseOutput) string {
	t.Helper()
	m, ok := out.Output.(*types.ConverseOutputMemberMessage)
	if !ok {
		t.Fatalf("no message in %+v", out)
	}
	var text string
	for _, b := range m.Value.Content {
		if tb, ok := b.(*types.ContentBlockMemberText); ok {
			text += tb.Value
		}
	}
	return text
}

func TestBedrockConverse(t *testing.T) {
	s, c := startBedrock(t)
	for _, model := range []string{bedrockClaude, "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/" + bedrockClaude, "meta.llama3-3-70b-instruct-v1:0"} {
		out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(model), Messages: userSays("hi \U0001f600 STOP there"),
			InferenceConfig:                   &types.InferenceConfiguration{MaxTokens: aws.Int32(100), StopSequences: []string{"STOP"}},
			AdditionalModelResponseFieldPaths: []string{"/stop_sequence"}})
		if err != nil {
			t.Fatal(model, err)
		}
		if got := textIn(t, out); got != "echo: hi \U0001f600 " || out.StopReason != types.StopReasonStopSequence || *out.Usage.InputTokens < 1 || *out.Usage.OutputTokens != 3 {
			t.Errorf("%s: %q %v %+v", model, got, out.StopReason, out.Usage)
		}
	}
	if n := s.Counters().Complete; n != 3 {
		t.Errorf("%d complete answers", n)
	}
}

func TestBedrockAPIKeyAsBearer(t *testing.T) {
	s := Start(t, Options{Schema: Bedrock})
	for key, want := range map[string]int{s.Key(): 200, "wrong": 403} {
		req, _ := http.NewRequest("POST", s.URL()+"/model/"+bedrockClaude+"/converse", strings.NewReader(`{"messages":[{"role":"user","content":[{"text":"x"}]}]}`))
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("key %s: %d", key, resp.StatusCode)
		}
	}
}

func TestBedrockSignatures(t *testing.T) {
	s := Start(t, Options{Schema: Bedrock, AllowHeaders: SDKHeaders, AWS: &AWSKey{ID: "AK", Secret: "secret", Session: "session", Region: "us-east-1"}})
	for name, k := range map[string]AWSKey{
		"":                            {"AK", "secret", "session", "us-east-1"},
		"UnrecognizedClientException": {"AKX", "secret", "session", "us-east-1"},
		"InvalidSignatureException":   {"AK", "secreT", "session", "us-east-1"},
	} {
		_, err := bedrockClient(s, k).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(bedrockClaude), Messages: userSays("hi")})
		if got := codeOf(err); got != name {
			t.Errorf("want %q, got %q (%v)", name, got, err)
		}
	}
	for _, k := range []AWSKey{{"AK", "secret", "", "us-east-1"}, {"AK", "secret", "session", "us-west-2"}} {
		if _, err := bedrockClient(s, k).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(bedrockClaude), Messages: userSays("hi")}); err == nil {
			t.Errorf("%+v passed", k)
		}
	}
}

// TestBedrockSignatureCovers changes each part of a request that was signed well.
func TestBedrockSignatureCovers(t *testing.T) {
	var kept *http.Request
	var body []byte
	k := DefaultAWSKey
	c := bedrockruntime.New(bedrockruntime.Options{Region: k.Region, BaseEndpoint: aws.String("http://127.0.0.1:1"), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret}, nil
		}),
		HTTPClient: doer(func(r *http.Request) (*http.Response, error) {
			kept = r.Clone(context.Background())
			body, _ = io.ReadAll(r.Body)
			return nil, errors.New("kept")
		})})
	_, _ = c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("a:b/c"), Messages: userSays("hi")})
	if kept == nil {
		t.Fatal("nothing was sent")
	}
	kept.Header.Set("Content-Length", strconv.Itoa(len(body)))
	kept.Host = kept.URL.Host
	now := time.Now()
	if e := k.verify(kept, body, now); e != nil {
		t.Fatal(e.message)
	}
	for name, change := range map[string]func(r *http.Request, body *[]byte, now *time.Time){
		"body":   func(_ *http.Request, b *[]byte, _ *time.Time) { *b = append(*b, ' ') },
		"path":   func(r *http.Request, _ *[]byte, _ *time.Time) { r.URL.RawPath, r.URL.Path = "", "/model/x/converse" },
		"query":  func(r *http.Request, _ *[]byte, _ *time.Time) { r.URL.RawQuery = "a=b" },
		"method": func(r *http.Request, _ *[]byte, _ *time.Time) { r.Method = "PUT" },
		"host":   func(r *http.Request, _ *[]byte, _ *time.Time) { r.Host = "other" },
		"clock":  func(_ *http.Request, _ *[]byte, n *time.Time) { *n = n.Add(time.Hour) },
		"unsigned x-amz": func(r *http.Request, _ *[]byte, _ *time.Time) {
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		},
		"no header": func(r *http.Request, _ *[]byte, _ *time.Time) { r.Header.Del("Authorization") },
		"another form": func(r *http.Request, _ *[]byte, _ *time.Time) {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/b")
		},
	} {
		r, b, at := kept.Clone(context.Background()), bytes.Clone(body), now
		change(r, &b, &at)
		if e := k.verify(r, b, at); e == nil || e.status != 403 {
			t.Errorf("changed %s: %+v", name, e)
		}
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// streamed reads a ConverseStream to its end.
func streamed(t *testing.T, c *bedrockruntime.Client, in *bedrockruntime.ConverseStreamInput) (text, args, reasoning, signature string, stop types.StopReason, usage *types.TokenUsage, err error) {
	t.Helper()
	out, err := c.ConverseStream(t.Context(), in)
	if err != nil {
		return
	}
	events := out.GetStream()
	defer func() { _ = events.Close() }()
	for ev := range events.Events() {
		switch e := ev.(type) {
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			switch d := e.Value.Delta.(type) {
			case *types.ContentBlockDeltaMemberText:
				text += d.Value
			case *types.ContentBlockDeltaMemberToolUse:
				args += *d.Value.Input
			case *types.ContentBlockDeltaMemberReasoningContent:
				switch r := d.Value.(type) {
				case *types.ReasoningContentBlockDeltaMemberText:
					reasoning += r.Value
				case *types.ReasoningContentBlockDeltaMemberSignature:
					signature += r.Value
				}
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			stop = e.Value.StopReason
		case *types.ConverseStreamOutputMemberMetadata:
			usage = e.Value.Usage
		}
	}
	return text, args, reasoning, signature, stop, usage, events.Err()
}

func TestBedrockConverseStream(t *testing.T) {
	s, c := startBedrock(t)
	s.Next(&Reply{Blocks: []Block{{Kind: TextBlock, Text: "Grüße, \U0001f600"}}, SplitBytes: 7, Usage: &Usage{Input: 3, CacheRead: 4, CacheWrite: 5, CacheWrite1h: 6, Output: 7}})
	text, _, _, _, stop, usage, err := streamed(t, c, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(bedrockClaude), Messages: userSays("hi")})
	if err != nil || text != "Grüße, \U0001f600" || stop != types.StopReasonEndTurn {
		t.Fatal(text, stop, err)
	}
	if *usage.InputTokens != 3 || *usage.CacheReadInputTokens != 4 || *usage.CacheWriteInputTokens != 11 || len(usage.CacheDetails) != 2 || *usage.TotalTokens != 25 {
		t.Errorf("%+v", usage)
	}
}

func TestBedrockThinkingSigned(t *testing.T) {
	_, c := startBedrock(t)
	in := &bedrockruntime.ConverseStreamInput{ModelId: aws.String(bedrockClaude), Messages: userSays("why"),
		InferenceConfig:              &types.InferenceConfiguration{MaxTokens: aws.Int32(4096)},
		AdditionalModelRequestFields: document.NewLazyDocument(map[string]any{"thinking": map[string]any{"type": "enabled", "budget_tokens": 1024}})}
	text, _, reasoning, signature, _, _, err := streamed(t, c, in)
	if err != nil || reasoning != "The user says: why" || signature == "" {
		t.Fatal(reasoning, signature, err)
	}
	for want, sign := range map[string]string{"": signature, "ValidationException": "forged"} {
		next := append(userSays("why"), types.Message{Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{
			&types.ContentBlockMemberReasoningContent{Value: &types.ReasoningContentBlockMemberReasoningText{Value: types.ReasoningTextBlock{Text: aws.String(reasoning), Signature: aws.String(sign)}}},
			&types.ContentBlockMemberText{Value: text},
		}}, userSays("and?")[0])
		_, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: in.ModelId, Messages: next})
		if codeOf(err) != want {
			t.Errorf("signature %s: %v", sign, err)
		}
	}
}

func TestBedrockTools(t *testing.T) {
	_, c := startBedrock(t)
	ask := userSays(`get_weather({"city":"Łódź"}) please`)
	_, args, _, _, stop, _, err := streamed(t, c, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(bedrockClaude), Messages: ask, ToolConfig: weatherTool})
	if err != nil || args != `{"city":"Łódź"}` || stop != types.StopReasonToolUse {
		t.Fatal(args, stop, err)
	}
	out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(bedrockClaude), Messages: ask, ToolConfig: weatherTool})
	if err != nil {
		t.Fatal(err)
	}
	turn := out.Output.(*types.ConverseOutputMemberMessage).Value
	call := turn.Content[0].(*types.ContentBlockMemberToolUse).Value
	result := types.Message{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{
		ToolUseId: call.ToolUseId, Status: types.ToolResultStatusError,
		Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: "rain"}}}}}}
	out, err = c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(bedrockClaude), Messages: []types.Message{ask[0], turn, result}, ToolConfig: weatherTool})
	if err != nil || textIn(t, out) != "results: "+*call.ToolUseId+"=rain (error)" {
		t.Fatal(err, out)
	}
}

func TestBedrockFaults(t *testing.T) {
	s, c := startBedrock(t)
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(bedrockClaude), Messages: userSays("hi")}
	for status, want := range map[int]string{400: "ValidationException", 403: "AccessDeniedException", 408: "ModelTimeoutException", 424: "ModelErrorException",
		429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException"} {
		s.Fail(1, Fault{Kind: Status, Status: status})
		if _, err := c.Converse(t.Context(), in); codeOf(err) != want {
			t.Errorf("%d: %v", status, err)
		}
	}
	sin := &bedrockruntime.ConverseStreamInput{ModelId: aws.String(bedrockClaude), Messages: userSays("one two three four")}
	s.Fail(1, Fault{Kind: ErrorEvent, After: 2, Status: 429})
	var throttled *types.ThrottlingException
	if text, _, _, _, _, _, err := streamed(t, c, sin); !errors.As(err, &throttled) || text == "" {
		t.Errorf("exception event: %q %v", text, err)
	}
	s.Fail(1, Fault{Kind: BadChecksum, After: 2})
	if text, _, _, _, _, _, err := streamed(t, c, sin); err == nil || !strings.Contains(err.Error(), "checksum") || text == "" {
		t.Errorf("damaged: %q %v", text, err)
	}
	s.Fail(1, Fault{Kind: Cut, After: 3})
	if _, _, _, _, stop, _, err := streamed(t, c, sin); err == nil || stop != "" {
		t.Errorf("cut: %v %v", stop, err)
	}
	s.Fail(1, Fault{Kind: EndEarly, After: 3})
	if _, _, _, _, stop, usage, _ := streamed(t, c, sin); stop != "" || usage != nil {
		t.Errorf("ended early: %v %v", stop, usage)
	}
	s.Fail(1, Fault{Kind: EndlessLine, Bytes: 1 << 16})
	if _, _, _, _, stop, usage, _ := streamed(t, c, sin); stop != "" || usage != nil {
		t.Errorf("endless: %v %v", stop, usage)
	}
}

// TestBedrockRefusals: each of testdata/bedrock_refusals.json is refused for what it says, by the model that it names.
func TestBedrockRefusals(t *testing.T) {
	raw, err := os.ReadFile("testdata/bedrock_refusals.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Model, Want string
		Body              json.RawMessage
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	s := Start(t, Options{Schema: Bedrock, Models: []string{"*"}})
	for _, k := range cases {
		if k.Model == "" {
			k.Model = bedrockClaude
		}
		req, _ := http.NewRequest("POST", s.URL()+"/model/"+k.Model+"/converse", bytes.NewReader(k.Body))
		req.Header.Set("Authorization", "Bearer "+s.Key())
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if k.Want == "" {
			if resp.StatusCode != 200 {
				t.Errorf("%s: %d %s", k.Name, resp.StatusCode, body)
			}
			continue
		}
		if resp.StatusCode != 400 || !strings.Contains(string(body), k.Want) || !strings.HasPrefix(resp.Header.Get("X-Amzn-Errortype"), "ValidationException:") {
			t.Errorf("%s: %d %s %s", k.Name, resp.StatusCode, resp.Header.Get("X-Amzn-Errortype"), body)
		}
	}
}

// TestBedrockAnswersFollowTheDescription holds the fake's own answers against the vendor's description.
func TestBedrockAnswersFollowTheDescription(t *testing.T) {
	v, err := newBedrock(Options{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	q := &ask{model: "m", wantsStop: true}
	r := q.complete(&Reply{Blocks: []Block{{Kind: ThinkingBlock, Text: "t"}, {Kind: RedactedBlock, Text: "r"}, {Kind: TextBlock, Text: "x"}, Call("f", `{"a":1}`)}, Usage: &Usage{Input: 1, CacheWrite: 2, CacheWrite1h: 3, Output: 4}})
	body, err := parseJSON(v.whole(r, q, answerID{name: "x"}))
	if err != nil {
		t.Fatal(err)
	}
	c := bedrockChecker{shapes: v.shapes}
	if c.check("", "ConverseResponse", body); c.err != nil {
		t.Error(c.err.message)
	}
	for _, f := range v.events(r, q, answerID{name: "x"}) {
		kind, payload := eventOf(t, f.data)
		delete(payload, "p") // padding, which the description does not have
		c := bedrockChecker{shapes: v.shapes}
		if c.check("", v.shapes["ConverseStreamOutput"].Members[kind].Shape, payload); c.err != nil {
			t.Errorf("%s: %s", kind, c.err.message)
		}
	}
}

// eventOf reads one message of a stream back with the SDK's decoder.
func eventOf(t *testing.T, data []byte) (kind string, payload map[string]any) {
	t.Helper()
	m, err := eventstream.NewDecoder().Decode(bytes.NewReader(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := parseJSON(m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return m.Headers.Get(":event-type").String(), obj(v)
}
