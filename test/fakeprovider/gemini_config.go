package fakeprovider

import (
	"fmt"
	"slices"
	"strings"
)

// geminiConfig checks generationConfig.
func geminiConfig(c *geminiCall, body map[string]any) *apiError {
	config := obj(body["generationConfig"])
	generation := generationOf(c.model)
	between := func(name string, low, high float64) *apiError {
		if f, ok := number(config[name]); ok && (f < low || f > high) {
			return refuseGoogle("* GenerateContentRequest.generation_config.%s: %s must be in the range [%g, %g].\n", snake(name), snake(name), low, high)
		}
		return nil
	}
	for _, r := range []struct {
		name      string
		low, high float64
	}{{"temperature", 0, 2}, {"topP", 0, 1}, {"candidateCount", 1, 8}, {"maxOutputTokens", 1, 65_536}, {"logprobs", 0, 20}} {
		if e := between(r.name, r.low, r.high); e != nil {
			return e
		}
	}
	if n := len(list(config["stopSequences"])); n > 5 {
		return refuseGoogle("The number of stop_sequences must not be more than 5, but got %d.", n)
	}
	if slices.Contains(list(config["stopSequences"]), any("")) {
		return refuseGoogle("stop_sequences must not be empty.")
	}
	if generation >= 205 && (config["presencePenalty"] != nil || config["frequencyPenalty"] != nil) { // D50
		return refuseGoogle("Penalty is not enabled for models/%s", c.model)
	}
	if config["logprobs"] != nil && !boolean(config["responseLogprobs"]) {
		return refuseGoogle("logprobs is only valid when response_logprobs is set.")
	}
	return geminiFormat(c, body, config)
}

func geminiFormat(c *geminiCall, body, config map[string]any) *apiError {
	asJSON := config["responseMimeType"] == "application/json"
	both := config["responseSchema"] != nil && config["responseJsonSchema"] != nil
	switch {
	case both:
		return refuseGoogle("Only one of response_schema and response_json_schema may be set.")
	case !asJSON && (config["responseSchema"] != nil || config["responseJsonSchema"] != nil):
		return refuseGoogle("* GenerateContentRequest.generation_config.response_schema: only allowed for response mime type application/json\n")
	case asJSON && generationOf(c.model) < 300 && len(list(body["tools"])) > 0:
		return refuseGoogle("Function calling with a response mime type: 'application/json' is unsupported")
	case config["responseJsonSchema"] != nil && generationOf(c.model) < 205:
		return refuseGoogle("response_json_schema is not supported for model %s", c.model)
	}
	return nil
}

// geminiBudgets are the documented ranges of thinkingBudget.
var geminiBudgets = map[string][2]float64{"gemini-2.5-pro": {128, 32_768}, "gemini-2.5-flash": {0, 24_576}, "gemini-2.5-flash-lite": {0, 24_576}}

func geminiThinking(c *geminiCall, body map[string]any) *apiError {
	t := obj(obj(body["generationConfig"])["thinkingConfig"])
	if t == nil {
		return nil
	}
	level, levelled := t["thinkingLevel"]
	budget, budgeted := number(t["thinkingBudget"])
	generation := generationOf(c.model)
	switch {
	case generation < 205:
		return refuseGoogle("Thinking is not supported for this model")
	case levelled && budgeted:
		return refuseGoogle("You can only set one of thinking budget and thinking level.")
	case levelled && generation < 300:
		return refuseGoogle("Thinking level is not supported for this model.")
	case levelled && strings.Contains(c.model, "-pro") && level == "MINIMAL", level == "MEDIUM" && strings.HasPrefix(c.model, "gemini-3-pro"):
		return refuseGoogle("Thinking level %s is not supported for this model.", level)
	}
	if r, ok := geminiBudgets[c.model]; ok && budgeted && budget != -1 && (budget < r[0] || budget > r[1]) {
		return refuseGoogle("The thinking budget %g is invalid. Please choose a value between %g and %g.", budget, r[0], r[1])
	}
	return nil
}

// geminiSchemas checks the schemas of functions and of structured output.
func geminiSchemas(c *geminiCall, body map[string]any) *apiError {
	for i, t := range list(body["tools"]) {
		for j, f := range list(obj(t)["functionDeclarations"]) {
			at := fmt.Sprintf("tools[%d].function_declarations[%d].", i, j)
			if s, ok := obj(f)["parametersJsonSchema"]; ok {
				if e := geminiJSONSchema(c, at+"parameters_json_schema", s); e != nil {
					return e
				}
				if str(obj(s)["type"]) != "object" {
					return refuseGoogle("* GenerateContentRequest.%sparameters_json_schema: schema should be of type OBJECT\n", at)
				}
			}
			if s := obj(obj(f)["parameters"]); s != nil {
				if str(s["type"]) != "OBJECT" {
					return refuseGoogle("* GenerateContentRequest.%sparameters: schema should be of type OBJECT\n", at)
				}
				if e := geminiSchema(at+"parameters", s, true); e != nil {
					return e
				}
			}
		}
	}
	config := obj(body["generationConfig"])
	if s := obj(config["responseSchema"]); s != nil {
		return geminiSchema("generation_config.response_schema", s, true)
	}
	if s, ok := config["responseJsonSchema"]; ok {
		return geminiJSONSchema(c, "generation_config.response_json_schema", s)
	}
	return nil
}

// geminiSchema holds a Schema against the subset's rules (D17).
func geminiSchema(at string, s map[string]any, top bool) *apiError {
	wrong := func(what, format string, args ...any) *apiError {
		return refuseGoogle("* GenerateContentRequest.%s%s: %s\n", at, what, fmt.Sprintf(format, args...))
	}
	kind := str(s["type"])
	if branches := list(s["anyOf"]); branches != nil {
		if len(s) > 1 {
			return wrong("", "when using any_of, it must be the only field set")
		}
		for i, b := range branches {
			if e := geminiSchema(fmt.Sprintf("%s.any_of[%d]", at, i), obj(b), false); e != nil {
				return e
			}
		}
		return nil
	}
	properties := obj(s["properties"])
	switch {
	case kind == "" || kind == "TYPE_UNSPECIFIED":
		return wrong(".type", "must be specified")
	case s["enum"] != nil && kind != "STRING":
		return wrong(".enum", "only allowed for STRING type")
	case slices.Contains(list(s["enum"]), any("")):
		return wrong(".enum", "cannot be empty")
	case s["items"] == nil && kind == "ARRAY":
		return wrong(".items", "missing field.")
	case s["properties"] != nil && kind != "OBJECT":
		return wrong(".properties", "only allowed for OBJECT type")
	case top && kind == "OBJECT" && len(properties) == 0:
		return wrong(".properties", "should be non-empty for OBJECT type")
	}
	if f := str(s["format"]); f != "" && !slices.Contains(geminiFormats[kind], f) {
		return wrong(".format", "only %s are supported for %s type", quotedList(geminiFormats[kind]), kind)
	}
	for _, r := range list(s["required"]) {
		if properties[str(r)] == nil {
			return wrong(".required", "property is not defined: %s", str(r))
		}
	}
	for name, p := range properties {
		if e := geminiSchema(at+".properties["+name+"]", obj(p), false); e != nil {
			return e
		}
	}
	if items := obj(s["items"]); items != nil {
		return geminiSchema(at+".items", items, false)
	}
	return nil
}

var geminiFormats = map[string][]string{"STRING": {"enum", "date-time"}, "NUMBER": {"float", "double"}, "INTEGER": {"int32", "int64"}}

// geminiJSONSchema checks what is documented of the JSON Schema variant: an object, and nothing beside a reference but
// what begins with $.
func geminiJSONSchema(c *geminiCall, at string, v any) *apiError {
	if generationOf(c.model) < 205 {
		return refuseGoogle("%s is not supported for model %s", at, c.model)
	}
	s, ok := v.(map[string]any)
	if !ok {
		return refuseGoogle("%s: must be an object", at)
	}
	if ref, ok := s["$ref"]; ok {
		if !strings.HasPrefix(str(ref), "#") {
			return refuseGoogle("%s.$ref: cannot be resolved: %v", at, ref)
		}
		for name := range s {
			if !strings.HasPrefix(name, "$") {
				return refuseGoogle("%s: no other property may be set beside $ref: %s", at, name)
			}
		}
	}
	for _, name := range []string{"properties", "$defs"} {
		for key, p := range obj(s[name]) {
			if e := geminiJSONSchema(c, at+"."+name+"."+key, p); e != nil {
				return e
			}
		}
	}
	for _, name := range []string{"anyOf", "oneOf"} {
		for i, b := range list(s[name]) {
			if e := geminiJSONSchema(c, fmt.Sprintf("%s.%s[%d]", at, name, i), b); e != nil {
				return e
			}
		}
	}
	if s["allOf"] != nil || s["const"] != nil {
		return refuseGoogle("%s: allOf and const are not supported", at)
	}
	return nil
}
