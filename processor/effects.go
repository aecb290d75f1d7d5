package processor

import (
	"bytes"

	"github.com/tidwall/gjson"

	"dragoman/translate/chat"
)

// actsAtProvider says that answering the request may change something beyond the answer: the provider itself calls MCP servers, or runs
// code in a container that outlives the request. A second attempt would do so twice. Searching the web twice costs money and harms
// nobody; tools that the client runs are run when the answer has arrived.
func actsAtProvider(h *chat.Head) bool {
	if h.Field("mcp_servers") != nil {
		return true
	}
	tools := h.Field("tools")
	if len(tools) == 0 || !mayAct(tools) {
		return false
	}
	acts := false
	gjson.ParseBytes(tools).ForEach(func(_, tool gjson.Result) bool {
		acts = toolActs(tool)
		return !acts
	})
	return acts
}

// acting begins the words below, so that requests without them cost a glance.
var acting = [][]byte{[]byte(`mcp`), []byte(`code_`), []byte(`codeExecution`), []byte(`shell`)}

func mayAct(tools []byte) bool {
	for _, word := range acting {
		if bytes.Contains(tools, word) {
			return true
		}
	}
	return false
}

// toolActs knows the tools of OpenAI's Responses API (https://platform.openai.com/docs/guides/tools), of Anthropic's
// (https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview) and of Google's (https://ai.google.dev/gemini-api/docs/tools).
func toolActs(tool gjson.Result) bool {
	switch kind := tool.Get("type").String(); {
	case kind == "mcp", kind == "mcp_toolset", kind == "code_interpreter", kind == "shell":
		return true
	case len(kind) > len("code_execution_") && kind[:len("code_execution_")] == "code_execution_":
		return true
	case kind == "":
		return tool.Get("codeExecution").Exists() || tool.Get("code_execution").Exists()
	}
	return false
}
