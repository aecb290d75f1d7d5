package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	cohere "github.com/cohere-ai/cohere-go/v2"
	cohereclient "github.com/cohere-ai/cohere-go/v2/client"
)

// CohereCases are those of Cohere's SDK for chat; those of embed and rerank are among EmbeddingCases and RerankCases.
func CohereCases() []Case {
	c := func(name string, run func(context.Context, Target) error) Case {
		return Case{Client: "cohere", Name: name, Run: run}
	}
	return []Case{
		c("plain", coherePlain), c("stream", cohereStream), c("tools", cohereTools), c("tools streamed", cohereToolsStreamed),
		c("forced tool", cohereForcedTool), c("no tool", cohereNoTool), c("structured output", cohereStructured),
		c("length", cohereLength), c("stop", cohereStop), c("unknown model", cohereUnknownModel), c("bad request", cohereBadRequest),
	}
}

func cohereClient(t Target) *cohereclient.Client {
	h := t.HTTP
	if h == nil {
		h = &http.Client{Timeout: Timeout}
	}
	return cohereclient.NewClient(cohereclient.WithBaseURL(t.BaseURL), cohereclient.WithToken(t.Key),
		cohereclient.WithMaxAttempts(1), cohereclient.WithHTTPClient(h))
}

func cohereUser(text string) *cohere.ChatMessageV2 {
	return &cohere.ChatMessageV2{Role: "user", User: &cohere.UserMessageV2{Content: &cohere.UserMessageV2Content{String: text}}}
}

func cohereAsk(t Target, text string) *cohere.V2ChatRequest {
	return &cohere.V2ChatRequest{Model: t.Model, Messages: cohere.ChatMessages{
		{Role: "system", System: &cohere.SystemMessageV2{Content: &cohere.SystemMessageV2Content{String: "You are terse."}}},
		cohereUser(text),
	}}
}

func cohereSend(ctx context.Context, t Target, r *cohere.V2ChatRequest) (*cohere.V2ChatResponse, error) {
	return cohereClient(t).V2.Chat(ctx, r)
}

// cohereText joins an answer's text blocks; its thinking stands beside them.
func cohereText(m *cohere.AssistantMessageResponse) string {
	var b strings.Builder
	for _, c := range m.Content {
		if c.Text != nil {
			b.WriteString(c.Text.Text)
		}
	}
	return b.String()
}

func checkCohereUsage(u *cohere.Usage) error {
	if u == nil || u.Tokens == nil || u.Tokens.InputTokens == nil || u.Tokens.OutputTokens == nil || u.BilledUnits == nil {
		return errors.New("no usage")
	}
	return errors.Join(positive("input tokens", int64(*u.Tokens.InputTokens)), positive("output tokens", int64(*u.Tokens.OutputTokens)))
}

func coherePlain(ctx context.Context, t Target) error {
	got, err := cohereSend(ctx, t, cohereAsk(t, prompt))
	if err != nil {
		return err
	}
	return errors.Join(equal("text", cohereText(got.Message), answer), equal("finish reason", got.FinishReason, cohere.ChatFinishReasonComplete),
		present("id", got.Id), checkCohereUsage(got.Usage))
}

// cohereAnswer is what a stream adds up to.
type cohereAnswer struct {
	text   string
	calls  []*cohere.ToolCallV2
	finish cohere.ChatFinishReason
	usage  *cohere.Usage
}

// cohereCollect reads a stream to its end and checks the order of its events (D120).
func cohereCollect(ctx context.Context, t Target, r *cohere.V2ChatRequest) (*cohereAnswer, error) {
	stream, err := cohereClient(t).V2.ChatStream(ctx, &cohere.V2ChatStreamRequest{
		Model: r.Model, Messages: r.Messages, Tools: r.Tools, ToolChoice: (*cohere.V2ChatStreamRequestToolChoice)(r.ToolChoice),
	})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	a, open := &cohereAnswer{}, -1
	for n := 0; ; n++ {
		ev, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			if a.finish == "" {
				return nil, errors.New("the stream ends without message-end")
			}
			return a, nil
		case err != nil && strings.Contains(err.Error(), "unexpected end of JSON input"):
			continue // this SDK takes the blank line behind an event for an event
		case err != nil:
			return nil, err
		case a.finish != "":
			return nil, fmt.Errorf("%s after message-end", ev.Type)
		case n == 0 && ev.Type != "message-start":
			return nil, fmt.Errorf("%s comes first", ev.Type)
		}
		if open, err = a.add(&ev, open); err != nil {
			return nil, err
		}
	}
}

// add takes one event; open is the content block that is open, -1 for none.
func (a *cohereAnswer) add(ev *cohere.V2ChatStreamResponse, open int) (int, error) {
	switch ev.Type {
	case "content-start":
		if open >= 0 {
			return open, errors.New("a content block starts while one is open")
		}
		return *ev.ContentStart.Index, nil
	case "content-delta":
		if err := equal("block of a delta", *ev.ContentDelta.Index, open); err != nil {
			return open, err
		}
		if text := ev.ContentDelta.Delta.Message.Content.Text; text != nil {
			a.text += *text
		}
	case "content-end":
		return -1, equal("block that ends", *ev.ContentEnd.Index, open)
	case "tool-call-start":
		a.calls = append(a.calls, ev.ToolCallStart.Delta.Message.ToolCalls)
	case "tool-call-delta":
		i := *ev.ToolCallDelta.Index
		if i >= len(a.calls) {
			return open, fmt.Errorf("arguments of call %d of %d", i, len(a.calls))
		}
		f := a.calls[i].Function
		joined := *f.Arguments + *ev.ToolCallDelta.Delta.Message.ToolCalls.Function.Arguments
		f.Arguments = &joined
	case "message-end":
		d := ev.MessageEnd.Delta
		if d.Error != nil || d.FinishReason == nil || *d.FinishReason == cohere.ChatFinishReasonError {
			return open, fmt.Errorf("the generation failed: %v", ev.MessageEnd)
		}
		a.finish, a.usage = *d.FinishReason, d.Usage
	}
	return open, nil
}

func cohereStream(ctx context.Context, t Target) error {
	got, err := cohereCollect(ctx, t, cohereAsk(t, prompt))
	if err != nil {
		return err
	}
	return errors.Join(equal("text", got.text, answer), equal("finish reason", got.finish, cohere.ChatFinishReasonComplete), checkCohereUsage(got.usage))
}

func cohereWeather() []*cohere.ToolV2 {
	return []*cohere.ToolV2{{Type: cohere.String("function"), Function: &cohere.ToolV2Function{Name: "get_weather", Description: cohere.String("The weather in a city"), Parameters: weatherSchema()}}}
}

// cohereResults answers the two calls and wants both results in the text that follows.
func cohereResults(ctx context.Context, t Target, r *cohere.V2ChatRequest, calls []*cohere.ToolCallV2) error {
	if err := equal("calls", len(calls), 2); err != nil {
		return err
	}
	r.Messages = append(r.Messages, &cohere.ChatMessageV2{Role: "assistant", Assistant: &cohere.AssistantMessage{
		ToolPlan: cohere.String("I will look both up."), ToolCalls: calls,
	}})
	for i, call := range calls {
		got, err := city(*call.Function.Arguments)
		if err := errors.Join(err, equal("city", got, cities[i]), equal("tool", *call.Function.Name, "get_weather"), present("call id", *call.Id)); err != nil {
			return err
		}
		r.Messages = append(r.Messages, &cohere.ChatMessageV2{Role: "tool", Tool: &cohere.ToolMessageV2{
			ToolCallId: *call.Id, Content: &cohere.ToolMessageV2Content{String: "sunny in " + got},
		}})
	}
	after, err := cohereSend(ctx, t, r)
	if err != nil {
		return fmt.Errorf("with the results: %w", err)
	}
	for _, c := range cities {
		if text := cohereText(after.Message); !strings.Contains(text, "=sunny in "+c) {
			return fmt.Errorf("no result of %s in %q", c, text)
		}
	}
	return equal("finish reason", after.FinishReason, cohere.ChatFinishReasonComplete)
}

func cohereTools(ctx context.Context, t Target) error {
	r := cohereAsk(t, twoCalls)
	r.Tools = cohereWeather()
	got, err := cohereSend(ctx, t, r)
	if err != nil {
		return err
	}
	if err := equal("finish reason", got.FinishReason, cohere.ChatFinishReasonToolCall); err != nil {
		return err
	}
	return cohereResults(ctx, t, r, got.Message.ToolCalls)
}

func cohereToolsStreamed(ctx context.Context, t Target) error {
	r := cohereAsk(t, twoCalls)
	r.Tools = cohereWeather()
	got, err := cohereCollect(ctx, t, r)
	if err != nil {
		return err
	}
	if err := equal("finish reason", got.finish, cohere.ChatFinishReasonToolCall); err != nil {
		return err
	}
	return cohereResults(ctx, t, r, got.calls)
}

func cohereForcedTool(ctx context.Context, t Target) error {
	r := cohereAsk(t, prompt)
	r.Tools, r.ToolChoice = cohereWeather(), cohere.V2ChatRequestToolChoiceRequired.Ptr()
	got, err := cohereSend(ctx, t, r)
	if err != nil {
		return err
	}
	return equal("calls", len(got.Message.ToolCalls), 1)
}

func cohereNoTool(ctx context.Context, t Target) error {
	r := cohereAsk(t, twoCalls)
	r.Tools, r.ToolChoice = cohereWeather(), cohere.V2ChatRequestToolChoiceNone.Ptr()
	got, err := cohereSend(ctx, t, r)
	if err != nil {
		return err
	}
	return errors.Join(equal("calls", len(got.Message.ToolCalls), 0), equal("text", cohereText(got.Message), "echo: "+twoCalls))
}

func cohereStructured(ctx context.Context, t Target) error {
	r := cohereAsk(t, prompt)
	r.ResponseFormat = &cohere.ResponseFormatV2{Type: "json_object", JsonObject: &cohere.JsonResponseFormatV2{JsonSchema: personSchema()}}
	got, err := cohereSend(ctx, t, r)
	if err != nil {
		return err
	}
	return checkPerson(cohereText(got.Message))
}

func cohereLength(ctx context.Context, t Target) error {
	r := cohereAsk(t, prompt)
	r.MaxTokens = cohere.Int(2)
	got, err := cohereSend(ctx, t, r)
	if err != nil {
		return err
	}
	return errors.Join(equal("text", cohereText(got.Message), "echo: tell"), equal("finish reason", got.FinishReason, cohere.ChatFinishReasonMaxTokens))
}

// cohereStop: not every schema tells a stop sequence from any other end (D104).
func cohereStop(ctx context.Context, t Target) error {
	r := cohereAsk(t, prompt)
	r.StopSequences = []string{" me"}
	got, err := cohereSend(ctx, t, r)
	if err != nil {
		return err
	}
	if got.FinishReason != cohere.ChatFinishReasonComplete && got.FinishReason != cohere.ChatFinishReasonStopSequence {
		return fmt.Errorf("finish reason %s", got.FinishReason)
	}
	return equal("text", cohereText(got.Message), "echo: tell")
}

func cohereUnknownModel(ctx context.Context, t Target) error {
	t.Model = "no-such-model"
	_, err := cohereSend(ctx, t, cohereAsk(t, prompt))
	var e *cohere.NotFoundError
	if !errors.As(err, &e) {
		return fmt.Errorf("not a NotFoundError: %w", err)
	}
	return equal("status", e.StatusCode, 404)
}

func cohereBadRequest(ctx context.Context, t Target) error {
	r := cohereAsk(t, prompt)
	r.ResponseFormat = &cohere.ResponseFormatV2{Type: "json_object", JsonObject: &cohere.JsonResponseFormatV2{JsonSchema: personSchema()}}
	r.MaxTokens = cohere.Int(-1)
	_, err := cohereSend(ctx, t, r)
	var e *cohere.BadRequestError
	if !errors.As(err, &e) {
		return fmt.Errorf("not a BadRequestError: %w", err)
	}
	return errors.Join(equal("status", e.StatusCode, 400), present("the error's body", fmt.Sprint(e.Body)))
}
