package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

// ResponsesCases are what applications do with OpenAI's SDK and its Responses API.
func ResponsesCases() []Case {
	c := func(name string, run func(context.Context, Target) error) Case {
		return Case{Client: "responses", Name: name, Run: run}
	}
	return []Case{
		c("plain", responsesPlain), c("stream", responsesStream), c("items", responsesItems), c("tools", responsesTools),
		c("tools streamed", responsesToolsStreamed), c("previous response", responsesPrevious), c("previous response with tools", responsesPreviousTools),
		c("item references", responsesReferences), c("forced tool", responsesForcedTool), c("one call at a time", responsesOneCall),
		c("structured output", responsesStructured), c("image", responsesImage), c("length", responsesLength), c("unknown model", responsesUnknownModel),
		c("bad request", responsesBadRequest), c("unknown previous response", responsesUnknownPrevious),
	}
}

func responsesAsk(t Target, text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: t.Model, Instructions: openai.String("You are terse."),
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)},
	}
}

func responsesInput(items ...responses.ResponseInputItemUnionParam) responses.ResponseNewParamsInputUnion {
	return responses.ResponseNewParamsInputUnion{OfInputItemList: items}
}

func responsesSend(ctx context.Context, t Target, p responses.ResponseNewParams) (*responses.Response, error) {
	client := openaiClient(t)
	return client.Responses.New(ctx, p)
}

func responsesCheck(got *responses.Response, text string) error {
	return errors.Join(
		equal("output text", got.OutputText(), text), equal("status", string(got.Status), "completed"), equal("object", string(got.Object), "response"),
		present("id", got.ID), present("model", got.Model), positive("created at", int64(got.CreatedAt)),
		positive("input tokens", got.Usage.InputTokens), positive("output tokens", got.Usage.OutputTokens),
		equal("total tokens", got.Usage.TotalTokens, got.Usage.InputTokens+got.Usage.OutputTokens),
	)
}

func responsesPlain(ctx context.Context, t Target) error {
	p := responsesAsk(t, prompt)
	p.Metadata = shared.Metadata{"job": "7"}
	got, err := responsesSend(ctx, t, p)
	if err != nil {
		return err
	}
	return errors.Join(responsesCheck(got, answer), equal("instructions", got.Instructions.OfString, "You are terse."), equal("metadata", got.Metadata["job"], "7"))
}

// responsesCollect reads a stream to its end. Every event must fit those before it.
func responsesCollect(ctx context.Context, t Target, p responses.ResponseNewParams) (*responses.Response, error) {
	client := openaiClient(t)
	stream := client.Responses.NewStreaming(ctx, p)
	defer stream.Close()
	acc := responsesAccumulator{ids: map[int64]string{}, texts: map[string]string{}}
	for stream.Next() {
		ev := stream.Current()
		if err := acc.add(&ev); err != nil {
			return nil, fmt.Errorf("%w: %s", err, ev.RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if acc.final == nil {
		return nil, errors.New("the stream has no terminal event")
	}
	return acc.final, acc.check()
}

// responsesAccumulator holds a stream against what the API promises.
type responsesAccumulator struct {
	next  int64
	ids   map[int64]string  // of items, by their output_index
	texts map[string]string // deltas, by the item's id
	done  int
	final *responses.Response
}

func (a *responsesAccumulator) add(ev *responses.ResponseStreamEventUnion) error {
	if ev.Type == "error" {
		return fmt.Errorf("error event: %s", ev.Message)
	}
	if ev.SequenceNumber != a.next {
		return fmt.Errorf("sequence number %d, want %d", ev.SequenceNumber, a.next)
	}
	if first := ev.Type == "response.created"; first != (a.next == 0) {
		return errors.New("response.created must be the first event, and only that")
	}
	a.next++
	switch ev.Type {
	case "response.output_item.added":
		if _, twice := a.ids[ev.OutputIndex]; twice || ev.Item.ID == "" {
			return errors.New("the item has no id, or its place is taken")
		}
		a.ids[ev.OutputIndex] = ev.Item.ID
	case "response.output_text.delta", "response.function_call_arguments.delta", "response.reasoning_summary_text.delta":
		if a.ids[ev.OutputIndex] != ev.ItemID {
			return errors.New("a delta of an item that was not added")
		}
		a.texts[ev.ItemID] += ev.Delta
	case "response.output_text.done":
		return equal("text", ev.Text, a.texts[ev.ItemID])
	case "response.function_call_arguments.done":
		return equal("arguments", ev.Arguments, a.texts[ev.ItemID])
	case "response.output_item.done":
		a.done++
		return equal("id", ev.Item.ID, a.ids[ev.OutputIndex])
	case "response.completed", "response.incomplete":
		a.final = &ev.Response
	}
	return nil
}

func (a *responsesAccumulator) check() error {
	if err := errors.Join(equal("items", len(a.final.Output), len(a.ids)), equal("items done", a.done, len(a.ids))); err != nil {
		return err
	}
	for i, item := range a.final.Output {
		if err := equal("id", item.ID, a.ids[int64(i)]); err != nil {
			return err
		}
	}
	return nil
}

func responsesStream(ctx context.Context, t Target) error {
	got, err := responsesCollect(ctx, t, responsesAsk(t, prompt))
	if err != nil {
		return err
	}
	return responsesCheck(got, answer)
}

// responsesItems sends a conversation as items.
func responsesItems(ctx context.Context, t Target) error {
	p := responsesAsk(t, "")
	message := responses.ResponseInputItemParamOfMessage[string]
	p.Input = responsesInput(message("Be kind.", responses.EasyInputMessageRoleDeveloper), message("Hi", responses.EasyInputMessageRoleUser),
		message("Hello!", responses.EasyInputMessageRoleAssistant), message(prompt, responses.EasyInputMessageRoleUser))
	got, err := responsesSend(ctx, t, p)
	if err != nil {
		return err
	}
	return responsesCheck(got, answer)
}

func responsesWeather(strict bool) []responses.ToolUnionParam {
	return []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{
		Name: "get_weather", Description: openai.String("The weather in a city"), Parameters: weatherSchema(), Strict: openai.Bool(strict),
	}}}
}

// responsesCalls are the two calls of an answer, with the items that answer them.
func responsesCalls(got *responses.Response) (results []responses.ResponseInputItemUnionParam, err error) {
	n := 0
	for _, item := range got.Output {
		if item.Type != "function_call" {
			continue
		}
		call := item.AsFunctionCall()
		where, err := city(call.Arguments)
		if n >= len(cities) {
			return nil, fmt.Errorf("more than %d calls", n)
		}
		if err := errors.Join(err, equal("city", where, cities[n]), equal("tool", call.Name, "get_weather"), present("call id", call.CallID)); err != nil {
			return nil, err
		}
		n++
		results = append(results, responses.ResponseInputItemUnionParam{OfFunctionCallOutput: &responses.ResponseInputItemFunctionCallOutputParam{
			CallID: openai.String(call.CallID), Output: responses.ResponseInputItemFunctionCallOutputOutputUnionParam{OfString: openai.String("sunny in " + where)},
		}})
	}
	return results, equal("calls", n, len(cities))
}

func responsesSummed(got *responses.Response, err error) error {
	if err != nil {
		return fmt.Errorf("with the results: %w", err)
	}
	for _, c := range cities {
		if !strings.Contains(got.OutputText(), "=sunny in "+c) {
			return fmt.Errorf("no result of %s in %q", c, got.OutputText())
		}
	}
	return nil
}

func responsesTools(ctx context.Context, t Target) error {
	return responsesBothTurns(ctx, t, responsesSend)
}

func responsesToolsStreamed(ctx context.Context, t Target) error {
	return responsesBothTurns(ctx, t, responsesCollect)
}

type responsesSender func(context.Context, Target, responses.ResponseNewParams) (*responses.Response, error)

// responsesBothTurns sends the calls back as they came, as an application does that keeps the conversation itself.
func responsesBothTurns(ctx context.Context, t Target, send responsesSender) error {
	p := responsesAsk(t, twoCalls)
	p.Tools = responsesWeather(true)
	got, err := send(ctx, t, p)
	if err != nil {
		return err
	}
	results, err := responsesCalls(got)
	if err != nil {
		return err
	}
	items := []responses.ResponseInputItemUnionParam{responses.ResponseInputItemParamOfMessage(twoCalls, responses.EasyInputMessageRoleUser)}
	for _, item := range got.Output {
		if item.Type == "function_call" {
			call := item.AsFunctionCall().ToParam()
			items = append(items, responses.ResponseInputItemUnionParam{OfFunctionCall: &call})
		}
	}
	p.Input = responsesInput(append(items, results...)...)
	return responsesSummed(send(ctx, t, p))
}

// responsesPrevious continues a conversation that only the server knows: it speaks of the weather, and so does the answer.
func responsesPrevious(ctx context.Context, t Target) error {
	first, err := responsesSend(ctx, t, responsesAsk(t, "first of all"))
	if err != nil {
		return err
	}
	p := responsesAsk(t, prompt)
	p.PreviousResponseID = openai.String(first.ID)
	got, err := responsesCollect(ctx, t, p)
	if err != nil {
		return err
	}
	if got.Usage.InputTokens <= first.Usage.InputTokens {
		return fmt.Errorf("the conversation has no memory: %d input tokens, %d before", got.Usage.InputTokens, first.Usage.InputTokens)
	}
	return errors.Join(responsesCheck(got, answer), equal("previous response", got.PreviousResponseID, first.ID))
}

// responsesPreviousTools answers calls that only the server knows.
func responsesPreviousTools(ctx context.Context, t Target) error {
	p := responsesAsk(t, twoCalls)
	p.Tools = responsesWeather(false)
	got, err := responsesCollect(ctx, t, p)
	if err != nil {
		return err
	}
	results, err := responsesCalls(got)
	if err != nil {
		return err
	}
	p.PreviousResponseID, p.Input = openai.String(got.ID), responsesInput(results...)
	return responsesSummed(responsesSend(ctx, t, p))
}

// responsesReferences names the calls instead of sending them.
func responsesReferences(ctx context.Context, t Target) error {
	p := responsesAsk(t, twoCalls)
	p.Tools = responsesWeather(false)
	got, err := responsesSend(ctx, t, p)
	if err != nil {
		return err
	}
	results, err := responsesCalls(got)
	if err != nil {
		return err
	}
	items := []responses.ResponseInputItemUnionParam{responses.ResponseInputItemParamOfMessage(twoCalls, responses.EasyInputMessageRoleUser)}
	for _, item := range got.Output {
		items = append(items, responses.ResponseInputItemParamOfItemReference(item.ID))
	}
	p.Input = responsesInput(append(items, results...)...)
	return responsesSummed(responsesSend(ctx, t, p))
}

func responsesForcedTool(ctx context.Context, t Target) error {
	for _, choice := range []responses.ResponseNewParamsToolChoiceUnion{
		{OfToolChoiceMode: openai.Opt(responses.ToolChoiceOptionsRequired)},
		{OfFunctionTool: &responses.ToolChoiceFunctionParam{Name: "get_weather"}},
	} {
		p := responsesAsk(t, prompt)
		p.Tools, p.ToolChoice = responsesWeather(false), choice
		got, err := responsesSend(ctx, t, p)
		if err != nil {
			return err
		}
		if err := responsesOneOutput(got); err != nil {
			return err
		}
	}
	return nil
}

func responsesOneCall(ctx context.Context, t Target) error {
	p := responsesAsk(t, twoCalls)
	p.Tools, p.ParallelToolCalls = responsesWeather(false), openai.Bool(false)
	got, err := responsesSend(ctx, t, p)
	if err != nil {
		return err
	}
	return responsesOneOutput(got)
}

// responsesOneOutput wants one call and nothing else but the reasoning that led to it.
func responsesOneOutput(got *responses.Response) error {
	calls := 0
	for _, item := range got.Output {
		switch item.Type {
		case "function_call":
			calls++
		case "reasoning":
		default:
			return fmt.Errorf("an item %s in %s", item.Type, got.RawJSON())
		}
	}
	return equal("calls", calls, 1)
}

func responsesStructured(ctx context.Context, t Target) error {
	p := responsesAsk(t, prompt)
	p.Text = responses.ResponseTextConfigParam{Format: responses.ResponseFormatTextConfigUnionParam{OfJSONSchema: &responses.ResponseFormatTextJSONSchemaConfigParam{
		Name: "person", Strict: openai.Bool(true), Schema: personSchema(),
	}}}
	got, err := responsesSend(ctx, t, p)
	if err != nil {
		return err
	}
	return checkPerson(got.OutputText())
}

func responsesImage(ctx context.Context, t Target) error {
	p := responsesAsk(t, "")
	p.Input = responsesInput(responses.ResponseInputItemParamOfMessage(responses.ResponseInputMessageContentListParam{
		responses.ResponseInputContentParamOfInputText(prompt),
		{OfInputImage: &responses.ResponseInputImageParam{Detail: "auto", ImageURL: openai.String("data:image/png;base64," + pixel)}},
	}, responses.EasyInputMessageRoleUser))
	got, err := responsesSend(ctx, t, p)
	if err != nil {
		return err
	}
	return equal("output text", got.OutputText(), answer)
}

func responsesLength(ctx context.Context, t Target) error {
	long := strings.TrimSpace(strings.Repeat("word ", 40))
	for _, send := range []responsesSender{responsesSend, responsesCollect} {
		p := responsesAsk(t, long)
		p.MaxOutputTokens = openai.Int(16)
		got, err := send(ctx, t, p)
		if err != nil {
			return err
		}
		if err := errors.Join(equal("status", string(got.Status), "incomplete"), equal("reason", string(got.IncompleteDetails.Reason), "max_output_tokens")); err != nil {
			return err
		}
	}
	return nil
}

func responsesUnknownModel(ctx context.Context, t Target) error {
	t.Model = "no-such-model"
	_, err := responsesSend(ctx, t, responsesAsk(t, prompt))
	var e *openai.Error
	if errors.As(err, &e) && e.Code != "model_not_found" {
		return fmt.Errorf("code %q: %w", e.Code, err)
	}
	if e == nil || e.StatusCode != 400 && e.StatusCode != 404 { // the vendor says 400 here and 404 for chat completions
		return fmt.Errorf("not an API error of the client's: %w", err)
	}
	return nil
}

func responsesBadRequest(ctx context.Context, t Target) error {
	p := responsesAsk(t, prompt)
	p.Temperature = openai.Float(7)
	_, err := responsesSend(ctx, t, p)
	return wantStatus(err, 400, openaiStatus)
}

func responsesUnknownPrevious(ctx context.Context, t Target) error {
	p := responsesAsk(t, prompt)
	p.PreviousResponseID = openai.String("resp_unknown")
	_, err := responsesCollect(ctx, t, p)
	var e *openai.Error
	if errors.As(err, &e) && (e.Code != "previous_response_not_found" || e.Param != "previous_response_id") {
		return fmt.Errorf("code %q, param %q: %w", e.Code, e.Param, err)
	}
	return wantStatus(err, 400, openaiStatus)
}
