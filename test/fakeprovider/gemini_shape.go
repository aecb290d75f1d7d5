package fakeprovider

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
)

// geminiDescription has the messages of Vertex AI as Google's discovery document describes them. There is no public
// description of the Gemini API of the same kind: where it differs is in geminiOnly, from the converters of the official
// SDK (google.golang.org/genai v1.77.0, models.go), which know what each of the two services takes.
//
//go:embed testdata/gemini.vertex.json
var geminiDescription []byte

var geminiMessages = sync.OnceValues(func() (map[string]map[string]any, error) {
	var doc struct {
		Messages map[string]map[string]any `json:"messages"`
	}
	if err := json.Unmarshal(geminiDescription, &doc); err != nil {
		return nil, err
	}
	for message, members := range geminiMore {
		if doc.Messages[message] == nil {
			doc.Messages[message] = map[string]any{}
		}
		for name, kind := range members {
			doc.Messages[message][name] = kind
		}
	}
	return doc.Messages, nil
})

// geminiMore are members that the Gemini API has, some of them alone (geminiOnly).
var geminiMore = map[string]map[string]any{
	"GenerateContentRequest":    {"model": "string", "serviceTier": "string", "store": "boolean"},
	"GenerationConfig":          {"enableEnhancedCivicAnswers": "boolean"},
	"Part":                      {"toolCall": "any", "toolResponse": "any", "partMetadata": "any", "mediaProcessing": "string"},
	"Tool":                      {"fileSearch": "any", "mcpServers": []any{"any"}},
	"ToolConfig":                {"includeServerSideToolInvocations": "boolean"},
	"FunctionResponse":          {"willContinue": "boolean"},
	"CountTokensRequest":        {"generateContentRequest": "GenerateContentRequest"},
	"BatchEmbedContentsRequest": {"requests": []any{"EmbedContentRequest"}},
}

// geminiOnly are the members that one of the two services refuses: of the Gemini API, true; of Vertex AI, false.
var geminiOnly = map[string]map[string]bool{
	"GenerateContentRequest": {"model": true, "serviceTier": true, "store": true, "modelArmorConfig": false, "outputConfig": false},
	"GenerationConfig": {"enableEnhancedCivicAnswers": true, "routingConfig": false, "audioTimestamp": false, "translationConfig": false,
		"enableAffectiveDialog": false, "responseFormat": false},
	"Part":                  {"toolCall": true, "toolResponse": true, "partMetadata": true, "mediaProcessing": true},
	"Tool":                  {"fileSearch": true, "retrieval": false, "enterpriseWebSearch": false, "parallelAiSearch": false, "exaAiSearch": false},
	"ToolConfig":            {"includeServerSideToolInvocations": true},
	"FunctionCall":          {"partialArgs": false, "willContinue": false},
	"FunctionCallingConfig": {"streamFunctionCallArguments": false},
	"FunctionResponse":      {"willContinue": true},
	"SafetySetting":         {"method": false},
	"Schema":                {"additionalProperties": false, "defs": false, "ref": false},
	"Blob":                  {"displayName": false},
	"FileData":              {"displayName": false},
	"CountTokensRequest":    {"generateContentRequest": true, "systemInstruction": false, "tools": false, "generationConfig": false, "instances": false, "model": true},
	"EmbedContentRequest":   {"model": true, "autoTruncate": false, "embedContentConfig": false},
}

// protoChecker holds a value against a message, as the parser of proto JSON does. What it accepts it turns into the JSON
// names of members, for the rules.
type protoChecker struct {
	shapes map[string]map[string]any
	vertex bool
	err    *apiError
}

func (v *gemini) message(name string, body map[string]any, vertex bool) *apiError {
	c := protoChecker{shapes: v.shapes, vertex: vertex}
	c.object(name, "", body)
	return c.err
}

func (c *protoChecker) refuse(format string, args ...any) {
	if c.err == nil {
		c.err = refuseGoogle("Invalid JSON payload received. "+format, args...)
	}
}

func refuseGoogle(format string, args ...any) *apiError {
	return &apiError{status: 400, kind: "INVALID_ARGUMENT", message: fmt.Sprintf(format, args...)}
}

func (c *protoChecker) object(message, path string, body map[string]any) {
	members := c.shapes[message]
	names := make([]string, 0, len(body))
	for name := range body {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value, jsonName := body[name], lowerCamel(name)
		kind, known := members[jsonName]
		if only, limited := geminiOnly[message][jsonName]; limited && only == c.vertex {
			known = false
		}
		if !known {
			c.refuse("Unknown name %q%s: Cannot find field.", name, atPath(path))
			return
		}
		if jsonName != name {
			if _, twice := body[jsonName]; twice {
				c.refuse("field '%s' is already set.", jsonName)
				return
			}
			delete(body, name)
			body[jsonName] = value
		}
		if value == nil {
			delete(body, jsonName)
			continue
		}
		value = enumName(kind, value)
		body[jsonName] = value
		c.value(kind, strings.TrimPrefix(path+"."+snake(jsonName), "."), value)
	}
}

func atPath(path string) string {
	if path == "" {
		return ""
	}
	return " at '" + path + "'"
}

func (c *protoChecker) value(kind any, path string, v any) {
	switch kind := kind.(type) {
	case string:
		if c.shapes[kind] != nil {
			if m, ok := v.(map[string]any); ok {
				c.object(kind, path, m)
			} else {
				c.refuse("Invalid value%s (type.googleapis.com/google.cloud.aiplatform.v1.%s), %s", atPath(path), kind, mustJSON(v))
			}
			return
		}
		if !protoScalar(kind, v) {
			c.refuse("Invalid value%s (TYPE_%s), %s", atPath(path), strings.ToUpper(kind), mustJSON(v))
		}
	case []any:
		items, ok := v.([]any)
		if !ok {
			c.refuse("Invalid value%s, must be a list: %s", atPath(path), mustJSON(v))
			return
		}
		for i, e := range items {
			items[i] = enumName(kind[0], e)
			c.value(kind[0], fmt.Sprintf("%s[%d]", path, i), items[i])
		}
	case map[string]any:
		c.table(kind, path, v)
	}
}

// enumName is a value's own name: the service takes one in any case, and Google's examples write them in lower case
// (github.com/google-gemini/cookbook, quickstarts/rest/Function_calling_REST.ipynb: "type": "object").
func enumName(kind, v any) any {
	shape, _ := kind.(map[string]any)
	names, enum := shape["enum"]
	s, isString := v.(string)
	if name := strings.ToUpper(s); enum && isString && slices.Contains(list(names), any(name)) {
		return name
	}
	return v
}

// table is a map or an enum.
func (c *protoChecker) table(kind map[string]any, path string, v any) {
	if names, enum := kind["enum"]; enum {
		if s, ok := v.(string); !ok || !slices.Contains(list(names), any(s)) {
			c.refuse("Invalid value%s (TYPE_ENUM), %s", atPath(path), mustJSON(v))
		}
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		c.refuse("Invalid value%s, must be an object: %s", atPath(path), mustJSON(v))
		return
	}
	for name, e := range m {
		c.value(kind["*"], path+"."+name, e)
	}
}

// protoScalar: proto JSON takes numbers in quotes, and 64-bit ones best so.
func protoScalar(kind string, v any) bool {
	switch kind {
	case "any":
		return true
	case "object":
		return obj(v) != nil
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "string":
		_, ok := v.(string)
		return ok
	case "byte":
		s, ok := v.(string)
		return ok && isBase64(s)
	}
	if s, ok := v.(string); ok {
		v = json.Number(s)
	}
	f, ok := number(v)
	switch {
	case !ok || math.IsNaN(f):
		return false
	case kind == "int32":
		return f == math.Trunc(f) && f >= math.MinInt32 && f <= math.MaxInt32
	case kind == "int64":
		return f == math.Trunc(f)
	}
	return true
}

func isBase64(s string) bool {
	s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	_, err := base64.RawStdEncoding.DecodeString(s)
	return err == nil
}

func lowerCamel(name string) string {
	words := strings.Split(name, "_")
	for i := 1; i < len(words); i++ {
		if words[i] != "" {
			words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
		}
	}
	return strings.Join(words, "")
}

func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
