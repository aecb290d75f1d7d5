package fakeprovider

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Responses is OpenAI's Responses API.
const Responses Schema = "responses"

// responses is the vendor OpenAI with its Responses API: headers, credentials, models and errors are the same. It keeps
// what it answered, unless it is told not to, so that previous_response_id and item_reference mean something.
type responses struct {
	*openai
	spec map[string]*jsonschema.Schema
	sign signer

	mu    sync.Mutex
	kept  map[string][]any // the conversation up to and with an answer, by its id
	items map[string]any   // every item of an answer, by its id
}

// keptResponses bounds what a fake keeps.
const keptResponses = 1000

func newResponses(o Options) (*responses, error) {
	base, err := newOpenAI(o)
	if err != nil {
		return nil, err
	}
	spec, err := responsesSchemas()
	return &responses{openai: base, spec: spec, sign: signer("responses " + o.Name), kept: map[string][]any{}, items: map[string]any{}}, err
}

func (*responses) path() string { return "/v1/responses" }

// check is everything that OpenAI would refuse.
func (v *responses) check(_ http.Header, body map[string]any) (*ask, *apiError) {
	if body["model"] == nil {
		return nil, invalid("model", "missing_required_parameter", "Missing required parameter: 'model'.")
	}
	described := body
	if user, given := body["user"]; given && user == nil {
		described = without(body, "user") // the one optional string that the description does not let be null; LlamaIndex sends every request so
	}
	if err := v.spec["CreateResponse"].Validate(any(described)); err != nil {
		return nil, schemaError(err)
	}
	if model := str(body["model"]); !v.opts.knows(model) {
		return nil, invalid("model", "model_not_found", "The requested model '%s' does not exist.", model)
	}
	for _, rule := range responsesRules {
		if e := rule(body); e != nil {
			return nil, e
		}
	}
	items, e := v.conversation(body)
	if e != nil {
		return nil, e
	}
	return v.ask(body, items), nil
}

// conversation is the whole input: what is continued, then the request's own items, references resolved.
func (v *responses) conversation(body map[string]any) ([]any, *apiError) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var items []any
	if id, ok := body["previous_response_id"].(string); ok {
		earlier, known := v.kept[id]
		if !known {
			return nil, invalid("previous_response_id", "previous_response_not_found", "Previous response with id '%s' not found.", id)
		}
		items = append(items, earlier...)
	}
	switch input := body["input"].(type) {
	case string:
		items = append(items, map[string]any{"role": "user", "content": input})
	case []any:
		for i, entry := range input {
			item := obj(entry)
			if e := v.checkItem(i, item); e != nil {
				return nil, e
			}
			item, e := v.known(i, item)
			if e != nil {
				return nil, e
			}
			items = append(items, any(item))
		}
	default:
		if body["previous_response_id"] == nil {
			return nil, invalid("input", "missing_required_parameter", "Missing required parameter: 'input'.")
		}
	}
	return items, responsesPairs(items)
}

// known resolves a reference, and refuses reasoning that this fake did not make or has not kept.
func (v *responses) known(i int, item map[string]any) (map[string]any, *apiError) {
	id := str(item["id"])
	switch itemSchema(item) {
	case "ItemReferenceParam":
		if kept := obj(v.items[id]); kept != nil {
			return kept, nil
		}
		return nil, &apiError{status: http.StatusNotFound, kind: "invalid_request_error", param: "input", message: "Item with id '" + id + "' not found."}
	case "ReasoningItem":
		encrypted, ok := item["encrypted_content"].(string)
		switch {
		case !ok && v.items[id] == nil:
			return nil, &apiError{status: http.StatusNotFound, kind: "invalid_request_error", param: "input",
				message: "Item with id '" + id + "' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input."}
		case ok && encrypted != v.encrypt(id):
			return nil, invalid("", "invalid_encrypted_content", "The encrypted content for item %s could not be verified. Reason: Encrypted content could not be decrypted or parsed.", id)
		}
	}
	return item, nil
}

// encrypt is the opaque content of a reasoning item: it holds for its id alone.
func (v *responses) encrypt(id string) string { return "gAAAAA" + v.sign.sign("", id) }

// keep notes an answer for requests that continue it.
func (v *responses) keep(q *ask, id string, output []any) {
	if store, said := q.request["store"].(bool); said && !store {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.kept) >= keptResponses {
		clear(v.kept)
		clear(v.items)
	}
	v.kept[id] = append(slices.Clone(list(q.request["input"])), output...)
	for _, item := range output {
		v.items[str(obj(item)["id"])] = item
	}
}

func (v *responses) ask(body map[string]any, items []any) *ask {
	request := maps.Clone(body)
	request["input"] = items
	q := &ask{
		model: str(body["model"]), stream: boolean(body["stream"]), includeUsage: true, parallel: true, choice: "auto", n: 1,
		maxTokens: integer(body["max_output_tokens"]), words: promptWords(items) + promptWords(body["tools"]) + promptWords(body["instructions"]),
		logprobs: slices.Contains(list(body["include"]), any("message.output_text.logprobs")), request: request,
	}
	if p, ok := body["parallel_tool_calls"].(bool); ok {
		q.parallel = p
	}
	if effort := str(obj(body["reasoning"])["effort"]); effort != "" && effort != "none" {
		q.thinking = true
	}
	for _, t := range list(body["tools"]) {
		if tool := obj(t); str(tool["type"]) == "function" {
			q.tools = append(q.tools, askTool{str(tool["name"]), obj(tool["parameters"])})
		}
	}
	switch c := body["tool_choice"].(type) {
	case string:
		q.choice = c
	case map[string]any:
		q.choice, q.named = "named", str(c["name"])
	}
	responsesTurns(q, items)
	switch f := obj(obj(body["text"])["format"]); str(f["type"]) {
	case "json_schema":
		q.format = obj(f["schema"])
	case "json_object":
		q.jsonObject = true
	}
	return q
}

// responsesTurns reads the last user text and the tool results that follow it.
func responsesTurns(q *ask, items []any) {
	for _, entry := range items {
		item := obj(entry)
		switch str(item["type"]) {
		case "function_call_output", "custom_tool_call_output":
			q.results = append(q.results, askResult{id: str(item["call_id"]), text: textOf(item["output"])})
		case "", "message":
			if str(item["role"]) == "user" {
				q.text = textOf(item["content"])
			}
			q.results = nil
		}
	}
}

func (*responses) errorEvent(e *apiError, _ answerID) frame {
	return frame{data: sse("error", mustJSON(map[string]any{
		"type": "error", "sequence_number": json.Number("1000"), "code": orNull(e.code), "message": e.message, "param": orNull(e.param),
		"error": map[string]any{"message": e.message, "type": e.kind, "param": orNull(e.param), "code": orNull(e.code)},
	}))}
}
