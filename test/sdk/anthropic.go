package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

func anthropicCases() []Case {
	c := func(name string, run func(context.Context, Target) error) Case {
		return Case{Client: "anthropic", Name: name, Run: run}
	}
	native := func(name string, run func(context.Context, Target) error) Case {
		return Case{Client: "anthropic", Name: name, Native: true, Run: run}
	}
	return []Case{
		c("plain", anthropicPlain), c("stream", anthropicStream), c("tools", anthropicTools), c("tools streamed", anthropicToolsStreamed),
		c("forced tool", anthropicForcedTool), c("no tool", anthropicNoTool), c("one call at a time", anthropicOneCall),
		c("structured output", anthropicStructured), c("image", anthropicImage), c("cache marks", anthropicCacheMarks),
		c("length", anthropicLength), c("stop", anthropicStop), c("models", anthropicModels), c("unknown model", anthropicUnknownModel),
		c("bad request", anthropicBadRequest), c("bad request streamed", anthropicBadRequestStreamed),
		native("stop sequence named", anthropicStopNamed), native("thinking", anthropicThinking), native("thinking streamed", anthropicThinkingStreamed),
	}
}

func anthropicClient(t Target) anthropic.Client {
	opts := []option.RequestOption{
		option.WithBaseURL(t.BaseURL), option.WithAPIKey(t.Key), option.WithMaxRetries(0), option.WithRequestTimeout(Timeout),
	}
	if t.HTTP != nil {
		opts = append(opts, option.WithHTTPClient(t.HTTP))
	}
	return anthropic.NewClient(opts...)
}

func anthropicAsk(t Target, text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: anthropic.Model(t.Model), MaxTokens: 500, System: []anthropic.TextBlockParam{{Text: "You are terse."}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
	}
}

func anthropicSend(ctx context.Context, t Target, p anthropic.MessageNewParams) (*anthropic.Message, error) {
	client := anthropicClient(t)
	return client.Messages.New(ctx, p)
}

// textOf joins a message's text blocks.
func textOf(m *anthropic.Message) string {
	var b strings.Builder
	for _, c := range m.Content {
		b.WriteString(c.Text)
	}
	return b.String()
}

func toolUses(m *anthropic.Message) []anthropic.ToolUseBlock {
	var uses []anthropic.ToolUseBlock
	for _, c := range m.Content {
		if c.Type == "tool_use" {
			uses = append(uses, c.AsToolUse())
		}
	}
	return uses
}

func checkAnswer(m *anthropic.Message) error {
	return errors.Join(
		equal("text", textOf(m), answer), equal("stop reason", m.StopReason, anthropic.StopReasonEndTurn), equal("role", string(m.Role), "assistant"),
		present("id", m.ID), present("model", string(m.Model)),
		positive("input tokens", m.Usage.InputTokens), positive("output tokens", m.Usage.OutputTokens),
	)
}

func anthropicPlain(ctx context.Context, t Target) error {
	m, err := anthropicSend(ctx, t, anthropicAsk(t, prompt))
	if err != nil {
		return err
	}
	return checkAnswer(m)
}

// anthropicCollect reads a stream to its end and checks the order of its events: blocks one after the other, each
// started and stopped once, one message_start and one message_stop (D107).
func anthropicCollect(ctx context.Context, t Target, p anthropic.MessageNewParams) (*anthropic.Message, error) {
	client := anthropicClient(t)
	stream := client.Messages.NewStreaming(ctx, p)
	defer stream.Close()
	m, open, next, ended := &anthropic.Message{}, int64(-1), int64(0), false
	for stream.Next() {
		event := stream.Current()
		if ended {
			return nil, fmt.Errorf("%s after message_stop", event.Type)
		}
		switch event.Type {
		case "content_block_start":
			if open >= 0 || event.Index != next {
				return nil, fmt.Errorf("block %d starts while %d is open and %d is due", event.Index, open, next)
			}
			open, next = event.Index, next+1
		case "content_block_delta":
			if err := equal("block of a delta", event.Index, open); err != nil {
				return nil, err
			}
		case "content_block_stop":
			if err := equal("block that stops", event.Index, open); err != nil {
				return nil, err
			}
			open = -1
		case "message_stop":
			ended = true
		}
		if err := m.Accumulate(event); err != nil {
			return nil, err
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if !ended {
		return nil, errors.New("the stream ends without message_stop")
	}
	return m, nil
}

func anthropicStream(ctx context.Context, t Target) error {
	m, err := anthropicCollect(ctx, t, anthropicAsk(t, prompt))
	if err != nil {
		return err
	}
	return checkAnswer(m)
}

func anthropicWeather() []anthropic.ToolUnionParam {
	s := weatherSchema()
	return []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
		Name: "get_weather", Description: anthropic.String("The weather in a city"),
		InputSchema: anthropic.ToolInputSchemaParam{Properties: s["properties"], Required: []string{"city"}},
	}}}
}

// anthropicResults answers the two calls and wants both results in the text that follows.
func anthropicResults(ctx context.Context, t Target, p anthropic.MessageNewParams, m *anthropic.Message) error {
	uses := toolUses(m)
	if err := errors.Join(equal("stop reason", m.StopReason, anthropic.StopReasonToolUse), equal("calls", len(uses), 2)); err != nil {
		return err
	}
	var results []anthropic.ContentBlockParamUnion
	for i, use := range uses {
		got, err := city(string(use.Input))
		if err := errors.Join(err, equal("city", got, cities[i]), equal("tool", use.Name, "get_weather"), present("call id", use.ID)); err != nil {
			return err
		}
		results = append(results, anthropic.NewToolResultBlock(use.ID, "sunny in "+got, false))
	}
	p.Messages = append(p.Messages, m.ToParam(), anthropic.NewUserMessage(results...))
	after, err := anthropicSend(ctx, t, p)
	if err != nil {
		return fmt.Errorf("with the results: %w", err)
	}
	for _, c := range cities {
		if !strings.Contains(textOf(after), "=sunny in "+c) {
			return fmt.Errorf("no result of %s in %q", c, textOf(after))
		}
	}
	return equal("stop reason", after.StopReason, anthropic.StopReasonEndTurn)
}

func anthropicTools(ctx context.Context, t Target) error {
	p := anthropicAsk(t, twoCalls)
	p.Tools = anthropicWeather()
	m, err := anthropicSend(ctx, t, p)
	if err != nil {
		return err
	}
	return anthropicResults(ctx, t, p, m)
}

func anthropicToolsStreamed(ctx context.Context, t Target) error {
	p := anthropicAsk(t, twoCalls)
	p.Tools = anthropicWeather()
	m, err := anthropicCollect(ctx, t, p)
	if err != nil {
		return err
	}
	return anthropicResults(ctx, t, p, m)
}

func anthropicForcedTool(ctx context.Context, t Target) error {
	for _, choice := range []anthropic.ToolChoiceUnionParam{
		{OfAny: &anthropic.ToolChoiceAnyParam{}}, anthropic.ToolChoiceParamOfTool("get_weather"),
	} {
		p := anthropicAsk(t, prompt)
		p.Tools, p.ToolChoice = anthropicWeather(), choice
		m, err := anthropicSend(ctx, t, p)
		if err != nil {
			return err
		}
		if err := equal("calls", len(toolUses(m)), 1); err != nil {
			return err
		}
	}
	return nil
}

func anthropicNoTool(ctx context.Context, t Target) error {
	p := anthropicAsk(t, twoCalls)
	p.Tools, p.ToolChoice = anthropicWeather(), anthropic.ToolChoiceUnionParam{OfNone: &anthropic.ToolChoiceNoneParam{}}
	m, err := anthropicSend(ctx, t, p)
	if err != nil {
		return err
	}
	return errors.Join(equal("calls", len(toolUses(m)), 0), equal("text", textOf(m), "echo: "+twoCalls))
}

func anthropicOneCall(ctx context.Context, t Target) error {
	p := anthropicAsk(t, twoCalls)
	p.Tools = anthropicWeather()
	p.ToolChoice = anthropic.ToolChoiceUnionParam{OfAuto: &anthropic.ToolChoiceAutoParam{DisableParallelToolUse: anthropic.Bool(true)}}
	m, err := anthropicSend(ctx, t, p)
	if err != nil {
		return err
	}
	return equal("calls", len(toolUses(m)), 1)
}

func anthropicStructured(ctx context.Context, t Target) error {
	p := anthropicAsk(t, prompt)
	p.OutputConfig = anthropic.OutputConfigParam{Format: anthropic.JSONOutputFormatParam{Schema: personSchema()}}
	m, err := anthropicSend(ctx, t, p)
	if err != nil {
		return err
	}
	return checkPerson(textOf(m))
}

func anthropicImage(ctx context.Context, t Target) error {
	p := anthropicAsk(t, "")
	p.Messages = []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompt), anthropic.NewImageBlockBase64("image/png", pixel))}
	m, err := anthropicSend(ctx, t, p)
	if err != nil {
		return err
	}
	return equal("text", textOf(m), answer)
}

// anthropicCacheMarks: a marked prompt is taken everywhere; where there is no such thing, the marks are left out.
func anthropicCacheMarks(ctx context.Context, t Target) error {
	p := anthropicAsk(t, prompt)
	p.System[0].CacheControl = anthropic.CacheControlEphemeralParam{TTL: anthropic.CacheControlEphemeralTTLTTL1h}
	p.Messages[0].Content[0].OfText.CacheControl = anthropic.NewCacheControlEphemeralParam()
	p.Tools = anthropicWeather()
	p.Tools[0].OfTool.CacheControl = anthropic.CacheControlEphemeralParam{TTL: anthropic.CacheControlEphemeralTTLTTL1h}
	m, err := anthropicSend(ctx, t, p)
	if err != nil {
		return err
	}
	return checkAnswer(m)
}

func anthropicLength(ctx context.Context, t Target) error {
	p := anthropicAsk(t, prompt)
	p.MaxTokens = 2
	m, err := anthropicSend(ctx, t, p)
	if err != nil {
		return err
	}
	return errors.Join(equal("text", textOf(m), "echo: tell"), equal("stop reason", m.StopReason, anthropic.StopReasonMaxTokens))
}

// anthropicStop: which sequence stopped an OpenAI model nobody can say (D104).
func anthropicStop(ctx context.Context, t Target) error {
	p := anthropicAsk(t, prompt)
	p.StopSequences = []string{" me", "never"}
	m, err := anthropicSend(ctx, t, p)
	if err != nil {
		return err
	}
	if m.StopReason != anthropic.StopReasonEndTurn && m.StopReason != anthropic.StopReasonStopSequence {
		return fmt.Errorf("stop reason %s", m.StopReason)
	}
	return equal("text", textOf(m), "echo: tell")
}

func anthropicStopNamed(ctx context.Context, t Target) error {
	p := anthropicAsk(t, prompt)
	p.StopSequences = []string{" me", "never"}
	m, err := anthropicSend(ctx, t, p)
	if err != nil {
		return err
	}
	return errors.Join(equal("stop reason", m.StopReason, anthropic.StopReasonStopSequence), equal("stop sequence", m.StopSequence, " me"))
}

func anthropicModels(ctx context.Context, t Target) error {
	client := anthropicClient(t)
	page, err := client.Models.List(ctx, anthropic.ModelListParams{})
	if err != nil {
		return err
	}
	for _, m := range page.Data {
		if m.ID == t.Model {
			return nil
		}
	}
	return fmt.Errorf("%s is not among %d models", t.Model, len(page.Data))
}

func anthropicStatus(err error) (int, string) {
	var e *anthropic.Error
	if !errors.As(err, &e) {
		return 0, ""
	}
	return e.StatusCode, e.RawJSON()
}

func anthropicUnknownModel(ctx context.Context, t Target) error {
	t.Model = "no-such-model"
	_, err := anthropicSend(ctx, t, anthropicAsk(t, prompt))
	var e *anthropic.Error
	if errors.As(err, &e) && !strings.Contains(e.RawJSON(), `"not_found_error"`) {
		return fmt.Errorf("type: %w", err)
	}
	return wantStatus(err, 404, anthropicStatus)
}

func anthropicOrphan(t Target) anthropic.MessageNewParams {
	p := anthropicAsk(t, "")
	p.Messages = []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewToolResultBlock("toolu_unknown", "sunny", false))}
	p.Tools = anthropicWeather()
	return p
}

func anthropicBadRequest(ctx context.Context, t Target) error {
	_, err := anthropicSend(ctx, t, anthropicOrphan(t))
	return wantStatus(err, 400, anthropicStatus)
}

func anthropicBadRequestStreamed(ctx context.Context, t Target) error {
	_, err := anthropicCollect(ctx, t, anthropicOrphan(t))
	return wantStatus(err, 400, anthropicStatus)
}

// anthropicThink asks a tool question with thinking on, and goes on from the signed answer: the provider takes its own
// signature only.
func anthropicThink(ctx context.Context, t Target, send func(context.Context, Target, anthropic.MessageNewParams) (*anthropic.Message, error)) error {
	p := anthropicAsk(t, twoCalls)
	p.MaxTokens, p.Thinking, p.Tools = 4000, anthropic.ThinkingConfigParamOfEnabled(1024), anthropicWeather()
	m, err := send(ctx, t, p)
	if err != nil {
		return err
	}
	if len(m.Content) == 0 || m.Content[0].Type != "thinking" || m.Content[0].Thinking == "" || m.Content[0].Signature == "" {
		return fmt.Errorf("no signed thinking block first in %s", m.RawJSON())
	}
	return anthropicResults(ctx, t, p, m)
}

func anthropicThinking(ctx context.Context, t Target) error {
	return anthropicThink(ctx, t, anthropicSend)
}

func anthropicThinkingStreamed(ctx context.Context, t Target) error {
	return anthropicThink(ctx, t, anthropicCollect)
}
