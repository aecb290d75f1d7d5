package bedrock

import (
	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
)

var pairs = dialogue.Pairs{WireID: wireID, Content: resultBlock}

// maxID is the longest toolUseId in bytes.
const maxID = 64

// wireID is id itself when it is what the API takes, ^[a-zA-Z0-9_-]{1,64}$, else a name made from it: the same in every
// request, so that the prompt's prefix stays the same (D34, D83). Room is left for the suffix of a repeated one.
func wireID(id string) string { return chat.CallID(id, maxID-idSuffix) }

const idSuffix = 8

// settleHistory writes the tool calls of the past as text where the request has no tools: the API refuses such blocks
// without a toolConfig, and tools made up for it could be called, for Converse cannot forbid calls (D22, D26).
func (e *encoder) settleHistory() {
	if e.plan.tools || !e.plan.turns.HasTools() {
		return
	}
	names := map[string]string{} // the last call's name by its id, as sent
	for i := range e.plan.turns {
		t := &e.plan.turns[i]
		flat := make([]dialogue.Block, 0, len(t.Blocks))
		for _, b := range t.Blocks {
			switch b.Kind {
			case chat.ToolCall:
				names[b.ID] = b.Part.Call.Name
				args := b.Part.Call.Arguments
				if dialogue.Blank(args) {
					args = "{}"
				}
				b.Kind, b.Text = chat.Text, "[Called the tool "+b.Part.Call.Name+" with "+args+"]"
				flat = append(flat, b)
			case chat.ToolResult:
				flat = flattenResult(flat, &b, names[b.ID])
			default:
				flat = append(flat, b)
			}
		}
		t.Blocks = flat
	}
}

func flattenResult(flat []dialogue.Block, b *dialogue.Block, name string) []dialogue.Block {
	word := "Result"
	if b.Part.Result.IsError != nil && *b.Part.Result.IsError {
		word = "Error"
	}
	flat = append(flat, dialogue.Block{Kind: chat.Text, Text: "[" + word + " of the tool " + name + ":]", Message: b.Message, Index: b.Index})
	flat = pairs.AppendContent(flat, b)
	flat[len(flat)-1].Cache = b.Cache
	return flat
}

// resultBlock is one part of a result as content of the message itself.
func resultBlock(q *chat.Part, b *dialogue.Block) dialogue.Block {
	kind := q.Kind
	if kind != chat.Text {
		kind = mediaOf(q).kind()
	}
	return dialogue.Block{Kind: kind, Text: q.Text, Part: q, Message: b.Message, Index: b.Index}
}
