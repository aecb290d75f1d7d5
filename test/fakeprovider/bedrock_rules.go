package fakeprovider

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// bedrockRules are what the description does not say, each in the service's own words: from the user guide's pages on
// Converse, tool use, prompt caching, extended thinking and structured outputs, the documentation of Message, DocumentBlock,
// ToolChoice and ToolResultBlock, and error reports of users.
var bedrockRules = []func(body map[string]any, m *bedrockModel) *apiError{
	bedrockOrder, bedrockContent, bedrockSystem, bedrockTools, bedrockToolChoice, bedrockPairs, bedrockCachePoints, bedrockExtra,
	bedrockThinking, bedrockFormat,
}

func unsupportedField(name string) *apiError {
	return invalidAt("This model doesn't support the %s field. Remove %s and try again.", name, name)
}

func bedrockOrder(body map[string]any, _ *bedrockModel) *apiError {
	messages := list(body["messages"])
	last := ""
	for i, m := range messages {
		role := str(obj(m)["role"])
		switch {
		case role == "system":
			return invalidAt("This model doesn't support the system role in messages.")
		case i == 0 && role != "user":
			return invalidAt("A conversation must start with a user message. Try again with a conversation that starts with a user message.")
		case role == last:
			return invalidAt("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.")
		case len(list(obj(m)["content"])) == 0:
			return invalidAt("The content field in the Message object at messages.%d is empty. Add a ContentBlock object to the content field and try again.", i)
		}
		last = role
	}
	if len(messages) == 0 {
		return invalidAt("The messages field is required. Add messages and try again.")
	}
	content := list(obj(messages[len(messages)-1])["content"])
	if text := str(obj(content[len(content)-1])["text"]); last == "assistant" && text != strings.TrimRight(text, " \n\t") {
		return invalidAt("messages: final assistant content cannot end with trailing whitespace")
	}
	return nil
}

var documentName = regexp.MustCompile(`^[A-Za-z0-9()\[\]-]+(?:\s[A-Za-z0-9()\[\]-]+)*$`)

// bedrockContent: texts must not be blank; images and documents are the user's, few, small and well named.
func bedrockContent(body map[string]any, m *bedrockModel) *apiError {
	names := map[string]bool{}
	for i, msg := range list(body["messages"]) {
		user := str(obj(msg)["role"]) == "user"
		count := mediaCount{names: names}
		for j, b := range list(obj(msg)["content"]) {
			if e := count.block(fmt.Sprintf("messages.%d.content.%d", i, j), obj(b), user, m); e != nil {
				return e
			}
		}
		if count.documents > 0 && !count.text {
			return invalidAt("The content of messages.%d has a document but no text. Include a text block with the document and try again.", i)
		}
	}
	return nil
}

type mediaCount struct {
	images, documents int
	text              bool
	names             map[string]bool
}

func (c *mediaCount) block(at string, b map[string]any, user bool, m *bedrockModel) *apiError {
	if t, ok := b["text"].(string); ok {
		if blank(t) {
			return invalidAt("The text field in the ContentBlock object at %s is blank. Add text to the text field, and try again.", at)
		}
		c.text = true
	}
	if b["image"] != nil || b["document"] != nil {
		if !user {
			return invalidAt("You can only include images and documents in a user message (%s).", at)
		}
		if e := c.media(at, b, m); e != nil {
			return e
		}
	}
	if r := obj(b["toolResult"]); r != nil {
		if len(list(r["content"])) == 0 {
			return invalidAt("The content field in the ToolResultBlock object at %s is empty.", at)
		}
		if r["status"] != nil && !m.status {
			return unsupportedField("toolResult.status")
		}
		inside := mediaCount{names: c.names}
		for k, p := range list(r["content"]) {
			if e := inside.block(fmt.Sprintf("%s.toolResult.content.%d", at, k), obj(p), user, m); e != nil {
				return e
			}
		}
	}
	if u := obj(b["toolUse"]); u != nil && obj(u["input"]) == nil {
		return invalidAt("The format of the value at %s.toolUse.input is invalid. Provide a json object for the field and try again.", at)
	}
	return nil
}

func (c *mediaCount) media(at string, b map[string]any, m *bedrockModel) *apiError {
	if !m.media {
		return invalidAt("This model doesn't support the image or document content block (%s).", at)
	}
	if im := obj(b["image"]); im != nil {
		c.images++
		if size := blobSize(im); size > 3_750_000 {
			return invalidAt("The image at %s is too large: %d bytes.", at, size)
		}
	}
	if d := obj(b["document"]); d != nil {
		c.documents++
		name := str(d["name"])
		switch size := blobSize(d); {
		case size > 4_500_000:
			return invalidAt("The document at %s is too large: %d bytes.", at, size)
		case !documentName.MatchString(name):
			return invalidAt("The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character.")
		case c.names[name]:
			return invalidAt("Two documents have the same name: %s", name)
		}
		c.names[name] = true
	}
	if c.images > 20 || c.documents > 5 {
		return invalidAt("Too many images or documents at %s: at most 20 images and 5 documents.", at)
	}
	return nil
}

func blobSize(b map[string]any) int {
	data, _ := base64.StdEncoding.DecodeString(str(obj(b["source"])["bytes"])) // the description's check has read it
	return len(data)
}

func bedrockSystem(body map[string]any, m *bedrockModel) *apiError {
	if len(list(body["system"])) > 0 && !m.system {
		return invalidAt("This model doesn't support system messages. Try again without a system message or use a model that supports system messages.")
	}
	for i, b := range list(body["system"]) {
		if t, ok := obj(b)["text"].(string); ok && blank(t) {
			return invalidAt("The text field in the SystemContentBlock object at system.%d is blank.", i)
		}
	}
	return nil
}

func bedrockTools(body map[string]any, m *bedrockModel) *apiError {
	config := obj(body["toolConfig"])
	if config != nil && !m.tools {
		return invalidAt("This model doesn't support tool use.")
	}
	names := map[string]bool{}
	for i, t := range list(config["tools"]) {
		spec := obj(obj(t)["toolSpec"])
		if spec == nil {
			continue
		}
		name := str(spec["name"])
		schema := obj(obj(spec["inputSchema"])["json"])
		at := fmt.Sprintf("toolConfig.tools.%d.toolSpec", i)
		switch {
		case names[name]:
			return invalidAt("The toolConfig.tools field contains duplicate tool names: %s", name)
		case str(schema["type"]) != "object":
			return invalidAt("The value at %s.inputSchema.json.type must be one of the following: object.", at)
		case boolean(spec["strict"]) && !m.textForm:
			return unsupportedField("toolSpec.strict")
		case boolean(spec["strict"]):
			if e := closedSchema(at+".inputSchema.json", schema, 0); e != nil {
				return invalidAt("%s", e.message)
			}
		}
		names[name] = true
	}
	if config == nil && bedrockHasToolBlocks(body) {
		return invalidAt("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
	}
	return nil
}

func bedrockHasToolBlocks(body map[string]any) bool {
	for _, m := range list(body["messages"]) {
		for _, b := range list(obj(m)["content"]) {
			if obj(b)["toolUse"] != nil || obj(b)["toolResult"] != nil {
				return true
			}
		}
	}
	return false
}

func bedrockToolChoice(body map[string]any, m *bedrockModel) *apiError {
	choice := obj(obj(body["toolConfig"])["toolChoice"])
	native := obj(obj(body["additionalModelRequestFields"])["tool_choice"])
	switch {
	case choice["any"] != nil && !m.anyTool:
		return unsupportedField("toolConfig.toolChoice.any")
	case choice["tool"] != nil && !m.named:
		return unsupportedField("toolConfig.toolChoice.tool")
	case choice != nil && native != nil:
		return invalidAt("tool_choice is given twice.")
	case native != nil && body["toolConfig"] == nil:
		return invalidAt("`tool_choice` may only be specified while providing `tools`.")
	}
	name := str(obj(choice["tool"])["name"])
	if str(native["type"]) == "tool" {
		name = str(native["name"])
	}
	if name == "" {
		return nil
	}
	for _, t := range list(obj(body["toolConfig"])["tools"]) {
		if str(obj(obj(t)["toolSpec"])["name"]) == name {
			return nil
		}
	}
	return invalidAt("The toolChoice.tool.name %s is not among the tools.", name)
}

// bedrockPairs: each toolUse is answered in the next message, and nothing else is.
func bedrockPairs(body map[string]any, _ *bedrockModel) *apiError {
	var open []string
	seen := map[string]bool{}
	messages := list(body["messages"])
	for i, m := range messages {
		calls, results := bedrockIDs(obj(m))
		if len(calls) > 0 && str(obj(m)["role"]) != "assistant" || len(results) > 0 && str(obj(m)["role"]) != "user" {
			return invalidAt("messages.%d: toolUse blocks are the assistant's, toolResult blocks the user's.", i)
		}
		if len(results) > len(open) {
			return invalidAt("The number of toolResult blocks at messages.%d.content exceeds the number of toolUse blocks of previous turn.", i)
		}
		for _, id := range open {
			if !slices.Contains(results, id) {
				return invalidAt("Expected toolResult blocks at messages.%d.content for the following Ids: %s", i, id)
			}
		}
		for _, id := range calls {
			if seen[id] {
				return invalidAt("The toolUse ids are not unique: %s", id)
			}
			seen[id] = true
		}
		open = calls
	}
	if len(open) > 0 {
		return invalidAt("Expected toolResult blocks at messages.%d.content for the following Ids: %s", len(messages), strings.Join(open, ", "))
	}
	return nil
}

func bedrockIDs(m map[string]any) (calls, results []string) {
	for _, b := range list(m["content"]) {
		if u := obj(obj(b)["toolUse"]); u != nil {
			calls = append(calls, str(u["toolUseId"]))
		}
		if r := obj(obj(b)["toolResult"]); r != nil {
			results = append(results, str(r["toolUseId"]))
		}
	}
	return calls, results
}
