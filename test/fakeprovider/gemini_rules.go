package fakeprovider

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// geminiRules are what the services refuse beyond their messages' types, in Google's words as far as they are public
// (ai.google.dev/gemini-api/docs, forum and issue threads that quote them).
var geminiRules = []func(c *geminiCall, body map[string]any) *apiError{
	geminiContents, geminiPairing, geminiTools, geminiSchemas, geminiConfig, geminiThinking,
}

// generationOf is 100 × major + minor of a Gemini model.
func generationOf(model string) int {
	rest, ok := strings.CutPrefix(model, "gemini-")
	if !ok {
		return 0
	}
	version, _, _ := strings.Cut(rest, "-")
	f, err := strconv.ParseFloat(version, 64)
	if err != nil {
		return 0
	}
	return int(f*100 + 0.5)
}

var partData = []string{"text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult", "toolCall", "toolResponse"}

// kindsOf are the members of a part's oneof.
func kindsOf(part map[string]any) (kinds []string) {
	for _, k := range partData {
		if _, ok := part[k]; ok {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func geminiContents(_ *geminiCall, body map[string]any) *apiError {
	contents := list(body["contents"])
	if len(contents) == 0 {
		return refuseGoogle("* GenerateContentRequest.contents: contents is not specified\n")
	}
	for i, c := range append(slices.Clone(contents), body["systemInstruction"]) {
		content := obj(c)
		if content == nil {
			continue
		}
		if role := str(content["role"]); i < len(contents) && !slices.Contains([]string{"", "user", "model", "function"}, role) {
			return refuseGoogle("Please use a valid role: user, model.")
		}
		if len(list(content["parts"])) == 0 {
			return refuseGoogle("* GenerateContentRequest.contents[%d].parts: contents.parts must not be empty.\n", i)
		}
		for j, p := range list(content["parts"]) {
			if e := geminiPart(i, j, obj(p)); e != nil {
				return e
			}
		}
	}
	if role := str(obj(contents[0])["role"]); role == "model" {
		return refuseGoogle("Please ensure that multiturn requests begin with a user turn.")
	}
	return nil
}

func geminiPart(i, j int, part map[string]any) *apiError {
	kinds := kindsOf(part)
	switch {
	case len(kinds) == 0:
		return refuseGoogle("* GenerateContentRequest.contents[%d].parts[%d].data: required oneof field 'data' must have one initialized field\n", i, j)
	case len(kinds) > 1:
		return refuseGoogle("Invalid JSON payload received. oneof field 'data' is already set. Cannot set '%s'", kinds[1])
	}
	for _, name := range []string{"inlineData", "fileData"} {
		m := obj(part[name])
		if m == nil {
			continue
		}
		if mime := str(m["mimeType"]); name == "inlineData" && !slices.Contains(geminiMedia, mime) && !strings.HasPrefix(mime, "audio/") && !strings.HasPrefix(mime, "text/") {
			return refuseGoogle("Unsupported MIME type: %s", mime)
		}
	}
	return nil
}

var geminiMedia = []string{"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", "application/pdf", "video/mp4"}

// functionNames are the names of the parts of a kind.
func functionNames(content map[string]any, kind string) (names []string) {
	for _, p := range list(content["parts"]) {
		if f := obj(obj(p)[kind]); f != nil {
			names = append(names, str(f["name"]))
		}
	}
	return names
}

// geminiPairing: every turn of calls is followed by one of as many responses, in the same order, which stand alone (D36).
func geminiPairing(c *geminiCall, body map[string]any) *apiError {
	contents := list(body["contents"])
	for i := range contents {
		content := obj(contents[i])
		calls, responses := functionNames(content, "functionCall"), functionNames(content, "functionResponse")
		if str(content["role"]) == "model" && len(responses) > 0 || str(content["role"]) != "model" && len(calls) > 0 {
			return refuseGoogle("Please ensure that function call turns are of the model and function response turns of the user.")
		}
		if len(responses) > 0 {
			if i == 0 || !slices.Equal(functionNames(obj(contents[i-1]), "functionCall"), responses) {
				return refuseGoogle("Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.")
			}
			if generationOf(c.model) >= 300 && len(responses) != len(list(content["parts"])) {
				return refuseGoogle("Function response parts must not be mixed with other parts in a turn.")
			}
		}
		if len(calls) > 0 {
			if i == 0 || str(obj(contents[i-1])["role"]) == "model" {
				return refuseGoogle("Please ensure that function call turn comes immediately after a user turn or after a function response turn.")
			}
			if i == len(contents)-1 || len(functionNames(obj(contents[i+1]), "functionResponse")) == 0 {
				return refuseGoogle("Please ensure that function response turn comes immediately after a function call turn.")
			}
		}
		if e := geminiIDs(c, content); e != nil {
			return e
		}
	}
	return nil
}

// geminiIDs: Vertex AI has refused ids (D34).
func geminiIDs(c *geminiCall, content map[string]any) *apiError {
	for _, p := range list(content["parts"]) {
		for _, kind := range []string{"functionCall", "functionResponse"} {
			f := obj(obj(p)[kind])
			if f == nil {
				continue
			}
			if _, has := f["id"]; has && c.vertex {
				return refuseGoogle("Invalid JSON payload received. Unknown name \"id\" at 'contents[0].parts[0].%s': Cannot find field.", snake(kind))
			}
			if !geminiName(str(f["name"])) {
				return refuseGoogle("Invalid function name %q.", str(f["name"]))
			}
		}
	}
	return nil
}

func geminiName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || strings.IndexByte(".:-", c) >= 0)) {
			return false
		}
	}
	return true
}

func geminiTools(_ *geminiCall, body map[string]any) *apiError {
	known := map[string]bool{}
	functions := 0
	for i, t := range list(body["tools"]) {
		if len(obj(t)) != 1 {
			return refuseGoogle("tools[%d].tool_type: one_of 'tool_type' has more than one initialized field.", i)
		}
		if obj(t)["functionDeclarations"] != nil {
			functions++
		}
		for j, f := range list(obj(t)["functionDeclarations"]) {
			d := obj(f)
			name := str(d["name"])
			switch {
			case !geminiName(name):
				return refuseGoogle("* GenerateContentRequest.tools[%d].function_declarations[%d].name: Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.\n", i, j)
			case known[name]:
				return refuseGoogle("Duplicate function declaration found: %s", name)
			case d["parameters"] != nil && d["parametersJsonSchema"] != nil:
				return refuseGoogle("tools[%d].function_declarations[%d]: only one of parameters and parameters_json_schema may be set.", i, j)
			}
			known[name] = true
		}
	}
	if functions > 1 {
		return refuseGoogle("Multiple tools are supported only when they are all search tools.")
	}
	for _, n := range list(obj(obj(body["toolConfig"])["functionCallingConfig"])["allowedFunctionNames"]) {
		if !known[str(n)] {
			return refuseGoogle("Function calling config has an allowed function name that is not declared: %s", str(n))
		}
	}
	return nil
}

// signatures: Gemini 3 refuses a call of the current turn whose step has no signature on its first call, and any that it
// did not make (D79).
func (v *gemini) signatures(c *geminiCall, body map[string]any) *apiError {
	contents := list(body["contents"])
	current := -1 // the last turn with the user's own words
	for i := range contents {
		content := obj(contents[i])
		if str(content["role"]) != "model" && len(functionNames(content, "functionResponse")) == 0 {
			current = i
		}
	}
	for i := range contents {
		first := true
		for j, p := range list(obj(contents[i])["parts"]) {
			part := obj(p)
			signature := str(part["thoughtSignature"])
			if signature != "" && signature != skipValidator && !v.own(signature) {
				return refuseGoogle("Corrupted thought signature.")
			}
			call := obj(part["functionCall"])
			if call != nil && first {
				first = false
				if i > current && signature == "" && generationOf(c.model) >= 300 {
					return refuseGoogle("Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:%s`, position %d. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.", str(call["name"]), j+1)
				}
			}
		}
	}
	return nil
}

// skipValidator is the documented escape value.
const skipValidator = "skip_thought_signature_validator"

// own says whether this fake made a signature.
func (v *gemini) own(signature string) bool {
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	text, mac, ok := strings.Cut(string(raw), "|")
	return ok && mac == v.signer.sign("", text)
}

func (v *gemini) sign(text string) string {
	return base64.StdEncoding.EncodeToString([]byte(text + "|" + v.signer.sign("", text)))
}
