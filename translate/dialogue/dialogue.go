// Package dialogue shapes a conversation as those APIs want it in which a user and an assistant take turns: neighbours of one role are one
// turn, the user begins, and each tool call is answered in the turn behind it. Anthropic's Messages and Bedrock's Converse are such.
package dialogue

import (
	"fmt"
	"strings"

	"dragoman/translate/chat"
)

// The roles of turns.
const (
	User      = "user"
	Assistant = "assistant"
)

// Placeholder stands where an API wants a text and the conversation has none: blank text is refused (D7).
const Placeholder = "."

// Turn is one message as it will be sent.
type Turn struct {
	Role   string
	Blocks []Block
}

// Block is one content block as it will be sent.
type Block struct {
	Kind    chat.PartKind
	Text    string          // of Text
	Sign    string          // of Thinking and RedactedThinking: the provider's own signature
	Part    *chat.Part      // of every other kind
	ID      string          // of ToolCall and ToolResult, as sent
	Cache   *chat.CacheMark // behind it
	Message int             // where it came from, for paths in faults
	Index   int
}

// Path is where the block came from, as faults name it.
func (b *Block) Path() string { return fmt.Sprintf("messages[%d].content[%d]", b.Message, b.Index) }

// Turns is a conversation.
type Turns []Turn

// Push adds a block to the turn in progress, or begins the next one: neighbours of one role are one turn (D5).
func (t *Turns) Push(role string, b Block) {
	if n := len(*t); n > 0 && (*t)[n-1].Role == role {
		(*t)[n-1].Blocks = append((*t)[n-1].Blocks, b)
		return
	}
	*t = append(*t, Turn{Role: role, Blocks: []Block{b}})
}

// BeginWithUser puts a user's turn in front where the conversation has none (D6).
func (t *Turns) BeginWithUser() {
	if len(*t) > 0 && (*t)[0].Role == User {
		return
	}
	first := Turn{Role: User, Blocks: []Block{{Kind: chat.Text, Text: Placeholder}}}
	*t = append(Turns{first}, *t...)
}

// TrimPrefill cuts white space at the end of a final assistant turn, which the model would have to continue and the APIs refuse (D8).
func (t Turns) TrimPrefill() {
	last := &t[len(t)-1]
	if last.Role != Assistant {
		return
	}
	b := &last.Blocks[len(last.Blocks)-1]
	if b.Kind == chat.Text {
		b.Text = strings.TrimRight(b.Text, " \t\r\n\v\f\u0085\u00a0")
	}
}

// HasTools says whether tools were called or answered.
func (t Turns) HasTools() bool { return t.has(chat.ToolCall, chat.ToolResult) }

// ThoughtlessCalls says whether the last turn answers tool calls, and no assistant turn has the thinking that Claude expects before a call.
// If only some have it, the complaint would be the opposite one, and thinking stays on (D76).
func (t Turns) ThoughtlessCalls() bool {
	last := &t[len(t)-1]
	return last.Role == User && last.Blocks[0].Kind == chat.ToolResult && !t.has(chat.Thinking, chat.RedactedThinking)
}

func (t Turns) has(one, other chat.PartKind) bool {
	for i := range t {
		for j := range t[i].Blocks {
			if k := t[i].Blocks[j].Kind; k == one || k == other {
				return true
			}
		}
	}
	return false
}

// Blank says whether a text is only white space, which the APIs refuse.
func Blank(s string) bool { return strings.TrimSpace(s) == "" }
