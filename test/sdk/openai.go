package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

func openaiCases() []Case {
	c := func(name string, run func(context.Context, Target) error) Case {
		return Case{Client: "openai", Name: name, Run: run}
	}
	return []Case{
		c("plain", openaiPlain), c("stream", openaiStream), c("stream without usage", openaiStreamWithoutUsage),
		c("tools", openaiTools), c("tools streamed", openaiToolsStreamed), c("forced tool", openaiForcedTool), c("no tool", openaiNoTool),
		c("one call at a time", openaiOneCall), c("structured output", openaiStructured), c("image", openaiImage),
		c("length", openaiLength), c("stop", openaiStop), c("models", openaiModels),
		c("unknown model", openaiUnknownModel), c("bad request", openaiBadRequest), c("bad request streamed", openaiBadRequestStreamed),
	}
}

func openaiClient(t Target) openai.Client {
	opts := []option.RequestOption{
		option.WithBaseURL(t.BaseURL + "/v1"), option.WithAPIKey(t.Key), option.WithMaxRetries(0), option.WithRequestTimeout(Timeout),
	}
	if t.HTTP != nil {
		opts = append(opts, option.WithHTTPClient(t.HTTP))
	}
	return openai.NewClient(opts...)
}

// ask is a request of one user message.
func openaiAsk(t Target, text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: t.Model,
		Messages: []openai.ChatCompletionMessageParamUnion{
			openai.SystemMessage("You are terse."), openai.UserMessage(text),
		},
	}
}

func openaiSend(ctx context.Context, t Target, p openai.ChatCompletionNewParams) (openai.ChatCompletionChoice, *openai.ChatCompletion, error) {
	client := openaiClient(t)
	got, err := client.Chat.Completions.New(ctx, p)
	if err != nil {
		return openai.ChatCompletionChoice{}, nil, err
	}
	if len(got.Choices) != 1 {
		return openai.ChatCompletionChoice{}, got, fmt.Errorf("%d choices", len(got.Choices))
	}
	return got.Choices[0], got, nil
}

func openaiPlain(ctx context.Context, t Target) error {
	choice, got, err := openaiSend(ctx, t, openaiAsk(t, prompt))
	if err != nil {
		return err
	}
	return errors.Join(
		equal("content", choice.Message.Content, answer), equal("finish reason", choice.FinishReason, "stop"),
		equal("object", string(got.Object), "chat.completion"), present("id", got.ID), present("model", got.Model), positive("created", got.Created),
		positive("prompt tokens", got.Usage.PromptTokens), positive("completion tokens", got.Usage.CompletionTokens),
		equal("total tokens", got.Usage.TotalTokens, got.Usage.PromptTokens+got.Usage.CompletionTokens),
	)
}

// openaiCollect reads a stream to its end. usageChunks counts the chunks that report usage.
func openaiCollect(ctx context.Context, t Target, p openai.ChatCompletionNewParams) (acc openai.ChatCompletionAccumulator, usageChunks int, err error) {
	client := openaiClient(t)
	stream := client.Chat.Completions.NewStreaming(ctx, p)
	defer stream.Close()
	for stream.Next() {
		chunk := stream.Current()
		if chunk.Usage.TotalTokens > 0 {
			usageChunks++
			if len(chunk.Choices) != 0 {
				return acc, usageChunks, errors.New("the usage chunk has choices")
			}
		}
		if !acc.AddChunk(chunk) {
			return acc, usageChunks, fmt.Errorf("chunk does not fit those before it: %s", chunk.RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		return acc, usageChunks, err
	}
	if len(acc.Choices) != 1 {
		return acc, usageChunks, fmt.Errorf("%d choices", len(acc.Choices))
	}
	return acc, usageChunks, nil
}

func openaiStream(ctx context.Context, t Target) error {
	p := openaiAsk(t, prompt)
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	acc, usage, err := openaiCollect(ctx, t, p)
	if err != nil {
		return err
	}
	return errors.Join(
		equal("content", acc.Choices[0].Message.Content, answer), equal("finish reason", acc.Choices[0].FinishReason, "stop"),
		equal("usage chunks", usage, 1), positive("prompt tokens", acc.Usage.PromptTokens), positive("completion tokens", acc.Usage.CompletionTokens),
		present("id", acc.ID), present("model", acc.Model),
	)
}

func openaiStreamWithoutUsage(ctx context.Context, t Target) error {
	acc, usage, err := openaiCollect(ctx, t, openaiAsk(t, prompt))
	if err != nil {
		return err
	}
	return errors.Join(equal("content", acc.Choices[0].Message.Content, answer), equal("usage chunks", usage, 0))
}

func openaiWeather() []openai.ChatCompletionToolUnionParam {
	return []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "get_weather", Description: openai.String("The weather in a city"), Parameters: weatherSchema(),
	})}
}

// openaiResults answers the two calls and wants both results in the text that follows.
func openaiResults(ctx context.Context, t Target, p openai.ChatCompletionNewParams, m openai.ChatCompletionMessage, finish string) error {
	if err := errors.Join(equal("finish reason", finish, "tool_calls"), equal("calls", len(m.ToolCalls), 2)); err != nil {
		return err
	}
	p.Messages = append(p.Messages, m.ToParam())
	for i, call := range m.ToolCalls {
		got, err := city(call.Function.Arguments)
		if err := errors.Join(err, equal("city", got, cities[i]), equal("tool", call.Function.Name, "get_weather"), present("call id", call.ID)); err != nil {
			return err
		}
		p.Messages = append(p.Messages, openai.ToolMessage("sunny in "+got, call.ID))
	}
	choice, _, err := openaiSend(ctx, t, p)
	if err != nil {
		return fmt.Errorf("with the results: %w", err)
	}
	for _, c := range cities {
		if !strings.Contains(choice.Message.Content, "=sunny in "+c) {
			return fmt.Errorf("no result of %s in %q", c, choice.Message.Content)
		}
	}
	return equal("finish reason", choice.FinishReason, "stop")
}

func openaiTools(ctx context.Context, t Target) error {
	p := openaiAsk(t, twoCalls)
	p.Tools = openaiWeather()
	choice, _, err := openaiSend(ctx, t, p)
	if err != nil {
		return err
	}
	return openaiResults(ctx, t, p, choice.Message, choice.FinishReason)
}

func openaiToolsStreamed(ctx context.Context, t Target) error {
	p := openaiAsk(t, twoCalls)
	p.Tools = openaiWeather()
	acc, _, err := openaiCollect(ctx, t, p)
	if err != nil {
		return err
	}
	return openaiResults(ctx, t, p, acc.Choices[0].Message, acc.Choices[0].FinishReason)
}

func openaiForcedTool(ctx context.Context, t Target) error {
	for _, choice := range []openai.ChatCompletionToolChoiceOptionUnionParam{
		{OfAuto: openai.String("required")},
		openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "get_weather"}),
	} {
		p := openaiAsk(t, prompt)
		p.Tools, p.ToolChoice = openaiWeather(), choice
		got, _, err := openaiSend(ctx, t, p)
		if err != nil {
			return err
		}
		if err := equal("calls", len(got.Message.ToolCalls), 1); err != nil {
			return err
		}
	}
	return nil
}

func openaiNoTool(ctx context.Context, t Target) error {
	p := openaiAsk(t, twoCalls)
	p.Tools, p.ToolChoice = openaiWeather(), openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("none")}
	got, _, err := openaiSend(ctx, t, p)
	if err != nil {
		return err
	}
	return errors.Join(equal("calls", len(got.Message.ToolCalls), 0), equal("content", got.Message.Content, "echo: "+twoCalls))
}

func openaiOneCall(ctx context.Context, t Target) error {
	p := openaiAsk(t, twoCalls)
	p.Tools, p.ParallelToolCalls = openaiWeather(), openai.Bool(false)
	got, _, err := openaiSend(ctx, t, p)
	if err != nil {
		return err
	}
	return equal("calls", len(got.Message.ToolCalls), 1)
}

func openaiStructured(ctx context.Context, t Target) error {
	p := openaiAsk(t, prompt)
	p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "person", Strict: openai.Bool(true), Schema: personSchema()},
	}}
	got, _, err := openaiSend(ctx, t, p)
	if err != nil {
		return err
	}
	return checkPerson(got.Message.Content)
}

func openaiImage(ctx context.Context, t Target) error {
	p := openaiAsk(t, "")
	p.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
		openai.TextContentPart(prompt),
		openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64," + pixel}),
	})}
	got, _, err := openaiSend(ctx, t, p)
	if err != nil {
		return err
	}
	return equal("content", got.Message.Content, answer)
}

func openaiLength(ctx context.Context, t Target) error {
	p := openaiAsk(t, prompt)
	p.MaxCompletionTokens = openai.Int(2)
	got, _, err := openaiSend(ctx, t, p)
	if err != nil {
		return err
	}
	return errors.Join(equal("content", got.Message.Content, "echo: tell"), equal("finish reason", got.FinishReason, "length"))
}

func openaiStop(ctx context.Context, t Target) error {
	p := openaiAsk(t, prompt)
	p.Stop = openai.ChatCompletionNewParamsStopUnion{OfStringArray: []string{" me", "never"}}
	got, _, err := openaiSend(ctx, t, p)
	if err != nil {
		return err
	}
	return errors.Join(equal("content", got.Message.Content, "echo: tell"), equal("finish reason", got.FinishReason, "stop"))
}

func openaiModels(ctx context.Context, t Target) error {
	client := openaiClient(t)
	page, err := client.Models.List(ctx)
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

func openaiStatus(err error) (int, string) {
	var e *openai.Error
	if !errors.As(err, &e) {
		return 0, ""
	}
	return e.StatusCode, e.Message
}

func openaiUnknownModel(ctx context.Context, t Target) error {
	t.Model = "no-such-model"
	_, _, err := openaiSend(ctx, t, openaiAsk(t, prompt))
	var e *openai.Error
	if errors.As(err, &e) && e.Code != "model_not_found" {
		return fmt.Errorf("code %q: %w", e.Code, err)
	}
	return wantStatus(err, 404, openaiStatus)
}

func openaiBadRequest(ctx context.Context, t Target) error {
	p := openaiAsk(t, prompt)
	p.Messages = append(p.Messages, openai.ToolMessage("sunny", "call_unknown"))
	_, _, err := openaiSend(ctx, t, p)
	return wantStatus(err, 400, openaiStatus)
}

func openaiBadRequestStreamed(ctx context.Context, t Target) error {
	p := openaiAsk(t, prompt)
	p.Messages = append(p.Messages, openai.ToolMessage("sunny", "call_unknown"))
	_, _, err := openaiCollect(ctx, t, p)
	return wantStatus(err, 400, openaiStatus)
}
