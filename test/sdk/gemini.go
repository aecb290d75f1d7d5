package sdk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genai"
)

// GeminiCases are those of Google's Gen AI SDK, spoken to the Gemini API. Thinking needs a model that thinks.
func GeminiCases() []Case {
	c := func(name string, run func(context.Context, Target) error) Case {
		return Case{Client: "gemini", Name: name, Run: run}
	}
	native := func(name string, run func(context.Context, Target) error) Case {
		return Case{Client: "gemini", Name: name, Native: true, Run: run}
	}
	return []Case{
		c("plain", geminiPlain), c("stream", geminiStream), c("chat", geminiChat), c("tools", geminiTools), c("tools streamed", geminiToolsStreamed),
		c("forced tool", geminiForcedTool), c("no tool", geminiNoTool), c("structured output", geminiStructured),
		c("structured output by Google's schema", geminiStructuredSubset), c("image", geminiImage), c("length", geminiLength), c("stop", geminiStop),
		c("models", geminiModels), c("unknown model", geminiUnknownModel), c("bad request", geminiBadRequest), c("bad request streamed", geminiBadRequestStreamed),
		native("thinking", geminiThinking), native("thinking streamed", geminiThinkingStreamed), native("count tokens", geminiCount),
	}
}

func geminiClient(ctx context.Context, t Target) (*genai.Client, error) {
	return genai.NewClient(ctx, &genai.ClientConfig{
		APIKey: t.Key, Backend: genai.BackendGeminiAPI, HTTPClient: t.HTTP, HTTPOptions: genai.HTTPOptions{BaseURL: t.BaseURL},
	})
}

// geminiAsk is a request of some turns.
type geminiAsk struct {
	contents []*genai.Content
	config   *genai.GenerateContentConfig
}

func geminiRequest(text string) geminiAsk {
	return geminiAsk{genai.Text(text), &genai.GenerateContentConfig{
		MaxOutputTokens: 500, SystemInstruction: genai.NewContentFromText("You are terse.", ""),
	}}
}

func geminiSend(ctx context.Context, t Target, q geminiAsk) (*genai.GenerateContentResponse, error) {
	client, err := geminiClient(ctx, t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return client.Models.GenerateContent(ctx, t.Model, q.contents, q.config)
}

// geminiCollect reads a stream to its end and adds it up. It must have one reason to stop, in its last piece.
func geminiCollect(ctx context.Context, t Target, q geminiAsk) (*genai.GenerateContentResponse, error) {
	client, err := geminiClient(ctx, t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	var whole *genai.GenerateContentResponse
	finish := genai.FinishReason("")
	var parts []*genai.Part
	for piece, err := range client.Models.GenerateContentStream(ctx, t.Model, q.contents, q.config) {
		if err != nil {
			return nil, err
		}
		if finish != "" {
			return nil, fmt.Errorf("a piece after the reason to stop: %+v", piece)
		}
		for _, c := range piece.Candidates {
			if c.Content != nil {
				parts = append(parts, c.Content.Parts...)
			}
			finish = c.FinishReason
		}
		whole = piece
	}
	if whole == nil || finish == "" {
		return nil, errors.New("the stream ends without a reason to stop")
	}
	whole.Candidates[0].Content = &genai.Content{Role: "model", Parts: parts}
	return whole, nil
}

func geminiFinish(r *genai.GenerateContentResponse) genai.FinishReason {
	if len(r.Candidates) == 0 {
		return ""
	}
	return r.Candidates[0].FinishReason
}

func checkGemini(r *genai.GenerateContentResponse) error {
	if len(r.Candidates) != 1 || r.UsageMetadata == nil {
		return fmt.Errorf("%d candidates, usage %+v", len(r.Candidates), r.UsageMetadata)
	}
	return errors.Join(
		equal("text", r.Text(), answer), equal("finish reason", geminiFinish(r), genai.FinishReasonStop), equal("role", r.Candidates[0].Content.Role, "model"),
		present("id", r.ResponseID), present("model", r.ModelVersion),
		positive("prompt tokens", int64(r.UsageMetadata.PromptTokenCount)), positive("output tokens", int64(r.UsageMetadata.CandidatesTokenCount)),
		positive("total tokens", int64(r.UsageMetadata.TotalTokenCount)),
	)
}

func geminiPlain(ctx context.Context, t Target) error {
	r, err := geminiSend(ctx, t, geminiRequest(prompt))
	if err != nil {
		return err
	}
	return checkGemini(r)
}

func geminiStream(ctx context.Context, t Target) error {
	r, err := geminiCollect(ctx, t, geminiRequest(prompt))
	if err != nil {
		return err
	}
	return checkGemini(r)
}

// geminiChat: the SDK keeps the history, each piece of a stream with its signatures.
func geminiChat(ctx context.Context, t Target) error {
	client, err := geminiClient(ctx, t)
	if err != nil {
		return err
	}
	chat, err := client.Chats.Create(ctx, t.Model, &genai.GenerateContentConfig{MaxOutputTokens: 500}, nil)
	if err != nil {
		return err
	}
	for range 2 {
		text := ""
		for piece, err := range chat.SendMessageStream(ctx, genai.Part{Text: prompt}) {
			if err != nil {
				return err
			}
			text += piece.Text()
		}
		if err := equal("text", text, answer); err != nil {
			return err
		}
	}
	return nil
}

func geminiWeather() []*genai.Tool {
	return []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{{
		Name: "get_weather", Description: "The weather in a city", ParametersJsonSchema: weatherSchema(),
	}}}}
}

// geminiResults answers the two calls and wants both results in the text that follows.
func geminiResults(ctx context.Context, t Target, q geminiAsk, r *genai.GenerateContentResponse) error {
	calls := r.FunctionCalls()
	if err := errors.Join(equal("finish reason", geminiFinish(r), genai.FinishReasonStop), equal("calls", len(calls), 2)); err != nil {
		return err
	}
	turn := &genai.Content{Role: "user"}
	for i, call := range calls {
		args, _ := json.Marshal(call.Args)
		got, err := city(string(args))
		if err := errors.Join(err, equal("city", got, cities[i]), equal("tool", call.Name, "get_weather")); err != nil {
			return err
		}
		turn.Parts = append(turn.Parts, &genai.Part{FunctionResponse: &genai.FunctionResponse{
			ID: call.ID, Name: call.Name, Response: map[string]any{"output": "sunny in " + got},
		}})
	}
	q.contents = append(q.contents, r.Candidates[0].Content, turn)
	after, err := geminiSend(ctx, t, q)
	if err != nil {
		return fmt.Errorf("with the results: %w", err)
	}
	for _, c := range cities {
		if !strings.Contains(after.Text(), "=sunny in "+c) {
			return fmt.Errorf("no result of %s in %q", c, after.Text())
		}
	}
	return equal("finish reason", geminiFinish(after), genai.FinishReasonStop)
}

func geminiTools(ctx context.Context, t Target) error {
	q := geminiRequest(twoCalls)
	q.config.Tools = geminiWeather()
	r, err := geminiSend(ctx, t, q)
	if err != nil {
		return err
	}
	return geminiResults(ctx, t, q, r)
}

func geminiToolsStreamed(ctx context.Context, t Target) error {
	q := geminiRequest(twoCalls)
	q.config.Tools = geminiWeather()
	r, err := geminiCollect(ctx, t, q)
	if err != nil {
		return err
	}
	return geminiResults(ctx, t, q, r)
}

func geminiForcedTool(ctx context.Context, t Target) error {
	for _, names := range [][]string{nil, {"get_weather"}} {
		q := geminiRequest(prompt)
		q.config.Tools = geminiWeather()
		q.config.ToolConfig = &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{
			Mode: genai.FunctionCallingConfigModeAny, AllowedFunctionNames: names,
		}}
		r, err := geminiSend(ctx, t, q)
		if err != nil {
			return err
		}
		if err := equal("calls", len(r.FunctionCalls()), 1); err != nil {
			return err
		}
	}
	return nil
}

func geminiNoTool(ctx context.Context, t Target) error {
	q := geminiRequest(twoCalls)
	q.config.Tools = geminiWeather()
	q.config.ToolConfig = &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{Mode: genai.FunctionCallingConfigModeNone}}
	r, err := geminiSend(ctx, t, q)
	if err != nil {
		return err
	}
	return errors.Join(equal("calls", len(r.FunctionCalls()), 0), equal("text", r.Text(), "echo: "+twoCalls))
}

func geminiStructured(ctx context.Context, t Target) error {
	q := geminiRequest(prompt)
	q.config.ResponseMIMEType, q.config.ResponseJsonSchema = "application/json", personSchema()
	r, err := geminiSend(ctx, t, q)
	if err != nil {
		return err
	}
	return checkPerson(r.Text())
}

func geminiStructuredSubset(ctx context.Context, t Target) error {
	q := geminiRequest(prompt)
	q.config.ResponseMIMEType = "application/json"
	q.config.ResponseSchema = &genai.Schema{Type: genai.TypeObject, Required: []string{"name", "age"}, Properties: map[string]*genai.Schema{
		"name": {Type: genai.TypeString}, "age": {Type: genai.TypeInteger},
	}}
	r, err := geminiSend(ctx, t, q)
	if err != nil {
		return err
	}
	return checkPerson(r.Text())
}

func geminiImage(ctx context.Context, t Target) error {
	png, err := base64.StdEncoding.DecodeString(pixel)
	if err != nil {
		return err
	}
	q := geminiRequest("")
	q.contents = []*genai.Content{{Role: "user", Parts: []*genai.Part{{Text: prompt}, genai.NewPartFromBytes(png, "image/png")}}}
	r, err := geminiSend(ctx, t, q)
	if err != nil {
		return err
	}
	return equal("text", r.Text(), answer)
}

func geminiLength(ctx context.Context, t Target) error {
	q := geminiRequest(prompt)
	q.config.MaxOutputTokens = 2
	r, err := geminiSend(ctx, t, q)
	if err != nil {
		return err
	}
	return errors.Join(equal("text", r.Text(), "echo: tell"), equal("finish reason", geminiFinish(r), genai.FinishReasonMaxTokens))
}

func geminiStop(ctx context.Context, t Target) error {
	q := geminiRequest(prompt)
	q.config.StopSequences = []string{" me", "never"}
	r, err := geminiSend(ctx, t, q)
	if err != nil {
		return err
	}
	return errors.Join(equal("text", r.Text(), "echo: tell"), equal("finish reason", geminiFinish(r), genai.FinishReasonStop))
}

func geminiModels(ctx context.Context, t Target) error {
	client, err := geminiClient(ctx, t)
	if err != nil {
		return err
	}
	n := 0
	for m, err := range client.Models.All(ctx) {
		if err != nil {
			return err
		}
		if n++; m.Name == "models/"+t.Model {
			one, err := client.Models.Get(ctx, t.Model, nil)
			if err != nil {
				return err
			}
			return equal("name", one.Name, m.Name)
		}
	}
	return fmt.Errorf("%s is not among %d models", t.Model, n)
}

func geminiStatus(err error) (int, string) {
	var e genai.APIError
	if !errors.As(err, &e) {
		return 0, ""
	}
	return e.Code, e.Message
}

func geminiUnknownModel(ctx context.Context, t Target) error {
	t.Model = "no-such-model"
	_, err := geminiSend(ctx, t, geminiRequest(prompt))
	var e genai.APIError
	if errors.As(err, &e) && e.Status != "NOT_FOUND" {
		return fmt.Errorf("status: %w", err)
	}
	return wantStatus(err, 404, geminiStatus)
}

// geminiWrong is a request that every provider refuses: a result without its call is one only here.
func geminiWrong() geminiAsk {
	q := geminiRequest(prompt)
	q.contents = []*genai.Content{{Role: "assistant", Parts: []*genai.Part{{Text: prompt}}}}
	return q
}

func geminiBadRequest(ctx context.Context, t Target) error {
	_, err := geminiSend(ctx, t, geminiWrong())
	return wantStatus(err, 400, geminiStatus)
}

func geminiBadRequestStreamed(ctx context.Context, t Target) error {
	_, err := geminiCollect(ctx, t, geminiWrong())
	return wantStatus(err, 400, geminiStatus)
}

// geminiThink asks a tool question with thoughts, and goes on from the signed answer: the provider takes its own
// signatures only.
func geminiThink(ctx context.Context, t Target, send func(context.Context, Target, geminiAsk) (*genai.GenerateContentResponse, error)) error {
	q := geminiRequest(twoCalls)
	q.config.MaxOutputTokens, q.config.Tools = 4000, geminiWeather()
	q.config.ThinkingConfig = &genai.ThinkingConfig{IncludeThoughts: true, ThinkingLevel: genai.ThinkingLevelLow}
	r, err := send(ctx, t, q)
	if err != nil {
		return err
	}
	thought, signed := "", false
	for _, p := range r.Candidates[0].Content.Parts {
		if p.Thought {
			thought += p.Text
		}
		signed = signed || p.FunctionCall != nil && len(p.ThoughtSignature) > 0
	}
	if thought == "" || !signed {
		return fmt.Errorf("thought %q, a signed call: %v", thought, signed)
	}
	return geminiResults(ctx, t, q, r)
}

func geminiThinking(ctx context.Context, t Target) error { return geminiThink(ctx, t, geminiSend) }

func geminiThinkingStreamed(ctx context.Context, t Target) error {
	return geminiThink(ctx, t, geminiCollect)
}

func geminiCount(ctx context.Context, t Target) error {
	client, err := geminiClient(ctx, t)
	if err != nil {
		return err
	}
	r, err := client.Models.CountTokens(ctx, t.Model, genai.Text(prompt), nil)
	if err != nil {
		return err
	}
	return positive("total tokens", int64(r.TotalTokens))
}
