package fakeprovider

import (
	"bytes"
	_ "embed"
	"fmt"
	"strconv"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed testdata/openai.responses.json
var responsesDescription []byte

// responsesSchemas are the compiled schemas of the description, once for all fakes.
var responsesSchemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) { return compileResponses(responsesDescription) })

// responsesRoots are the schemas that the fake checks by.
var responsesRoots = []string{
	"CreateResponse", "EasyInputMessage", "InputMessage", "OutputMessage", "FunctionToolCall", "FunctionCallOutputItemParam", "ReasoningItem",
	"ItemReferenceParam", "CustomToolCall", "CustomToolCallOutput", "Response", "ResponseErrorEvent", "ResponseCreatedEvent", "ResponseInProgressEvent",
	"ResponseOutputItemAddedEvent", "ResponseContentPartAddedEvent", "ResponseTextDeltaEvent", "ResponseTextDoneEvent", "ResponseContentPartDoneEvent",
	"ResponseOutputItemDoneEvent", "ResponseFunctionCallArgumentsDeltaEvent", "ResponseFunctionCallArgumentsDoneEvent",
	"ResponseReasoningSummaryPartAddedEvent", "ResponseReasoningSummaryTextDeltaEvent", "ResponseReasoningSummaryTextDoneEvent",
	"ResponseReasoningSummaryPartDoneEvent", "ResponseRefusalDeltaEvent", "ResponseRefusalDoneEvent", "ResponseCompletedEvent",
	"ResponseIncompleteEvent", "ResponseFailedEvent",
}

// compileResponses is compileOpenAI for another part of the description.
func compileResponses(description []byte) (map[string]*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err != nil {
		return nil, err
	}
	p := &specPreparer{schemas: obj(obj(obj(doc)["components"])["schemas"])}
	prepared := map[string]any{}
	for name, s := range p.schemas {
		prepared[name] = p.prepare(obj(s))
	}
	c := jsonschema.NewCompiler()
	const url = "https://fakeprovider.invalid/responses.json"
	if err := c.AddResource(url, map[string]any{"components": map[string]any{"schemas": prepared}}); err != nil {
		return nil, err
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, name := range responsesRoots {
		if compiled[name], err = c.Compile(url + schemaRoot + name); err != nil {
			return nil, fmt.Errorf("fakeprovider: %s: %w", name, err)
		}
	}
	return compiled, nil
}

// checkItem validates one input item by the branch that is meant: several of them share a type, or have none.
func (v *responses) checkItem(i int, item map[string]any) *apiError {
	at := "input[" + strconv.Itoa(i) + "]"
	name := itemSchema(item)
	if name == "" {
		return invalid(at, "invalid_value", "Invalid value: '%s'. This fake serves messages, function and custom tool calls, their outputs, reasoning and references.", str(item["type"]))
	}
	err := v.spec[name].Validate(easy(name, item))
	if err == nil {
		return nil
	}
	e := schemaError(err)
	if e.param != "" {
		at = join(at, e.param)
	}
	return invalid(at, e.code, "%s (in '%s')", e.message, at)
}

func itemSchema(item map[string]any) string {
	switch kind := str(item["type"]); kind {
	case "message", "":
		switch {
		case item["role"] == nil && kind == "":
			return "ItemReferenceParam"
		case item["id"] == nil && item["status"] == nil:
			return "EasyInputMessage"
		case str(item["role"]) == "assistant":
			return "OutputMessage"
		}
		return "InputMessage"
	case "function_call":
		return "FunctionToolCall"
	case "function_call_output":
		return "FunctionCallOutputItemParam"
	case "custom_tool_call":
		return "CustomToolCall"
	case "custom_tool_call_output":
		return "CustomToolCallOutput"
	case "reasoning":
		return "ReasoningItem"
	case "item_reference":
		return "ItemReferenceParam"
	}
	return ""
}

// easy is the item as the description has it: the service also takes an assistant's parts in a message without an id, and a
// message of the user's with an id, as its own list of input items has them.
func easy(name string, item map[string]any) any {
	switch name {
	case "EasyInputMessage":
		if parts := list(item["content"]); str(item["role"]) == "assistant" && len(parts) > 0 {
			out := without(item, "content")
			out["content"] = "parts"
			return any(out)
		}
	case "InputMessage":
		return any(without(item, "id"))
	}
	return any(item)
}
