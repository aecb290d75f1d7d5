package anthropic

import (
	"fmt"
	"strings"

	"dragoman/translate/chat"
)

const (
	userRole      = "user"
	assistantRole = "assistant"
)

// placeholder stands where the API wants a user's text and the conversation has none: blank text is refused.
const placeholder = "."

// turn is one message as it will be sent.
type turn struct {
	role   string
	blocks []block
}

// block is one content block as it will be sent.
type block struct {
	kind  chat.PartKind
	text  string     // of Text
	part  *chat.Part // of every other kind
	id    string     // of ToolCall and ToolResult, as sent
	cache *chat.CacheMark
	msg   int // where it came from, for paths in faults
	index int
}

func (b *block) path() string { return fmt.Sprintf("messages[%d].content[%d]", b.msg, b.index) }

// onlyText is the turn's one block when it can be written as a plain string.
func (t *turn) onlyText() *block {
	if len(t.blocks) == 1 && t.blocks[0].kind == chat.Text && t.blocks[0].cache == nil {
		return &t.blocks[0]
	}
	return nil
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// converse turns the messages into a system prompt and alternating turns that begin with the user's.
func (e *encoder) converse() {
	e.plan.turns = make([]turn, 0, len(e.r.Messages)+1)
	for i := range e.r.Messages {
		m := &e.r.Messages[i]
		if m.Name != "" {
			e.drop(fmt.Sprintf("messages[%d].name", i))
		}
		switch m.Role {
		case chat.System, chat.Developer:
			e.systemMessage(i, m)
		case chat.Assistant:
			e.assistantMessage(i, m)
		default:
			for j := range m.Parts {
				e.add(userRole, i, j, &m.Parts[j])
			}
		}
	}
	e.pair()
	e.beginWithUser()
	e.trimPrefill()
}

// systemMessage hoists the leading run of system messages, each text a block of its own, for blocks carry cache marks
// (D4). A later one stays where it is, as the user's with a mark: hoisting it would change the prefix and have the whole
// history billed as new (D3).
func (e *encoder) systemMessage(i int, m *chat.Message) {
	leading := len(e.plan.turns) == 0
	for j := range m.Parts {
		p := &m.Parts[j]
		e.extras(p.Extra)
		if p.Kind != chat.Text {
			e.unsupported(fmt.Sprintf("messages[%d].content[%d]", i, j), "A system message can hold only text for Anthropic's models.")
			return
		}
		if blank(p.Text) {
			continue
		}
		b := block{kind: chat.Text, text: p.Text, cache: p.Cache, msg: i, index: j}
		if leading {
			e.plan.system = append(e.plan.system, b)
			continue
		}
		b.text = "<system>\n" + p.Text + "\n</system>"
		e.push(userRole, b)
	}
}

// assistantMessage puts thinking first: the API takes it nowhere else in a turn (D75).
func (e *encoder) assistantMessage(i int, m *chat.Message) {
	for _, first := range [...]bool{true, false} {
		for j := range m.Parts {
			p := &m.Parts[j]
			if (p.Kind == chat.Thinking || p.Kind == chat.RedactedThinking) == first {
				e.add(assistantRole, i, j, p)
			}
		}
	}
}

// add settles one part.
func (e *encoder) add(role string, i, j int, p *chat.Part) {
	e.extras(p.Extra)
	b := block{kind: p.Kind, part: p, cache: p.Cache, msg: i, index: j}
	switch p.Kind {
	case chat.Text, chat.Refusal: // D135
		if blank(p.Text) {
			return
		}
		b.kind, b.text = chat.Text, p.Text
	case chat.Thinking, chat.RedactedThinking:
		if _, own := chat.SignedBy(chat.Anthropic, p.Signature); !own { // the API refuses what it has not signed (D75, D78)
			if p.Text != "" || p.Signature != "" {
				e.drop(fmt.Sprintf("messages[%d].reasoning_content", i))
			}
			return
		}
	case chat.Image, chat.Document:
		if role == assistantRole {
			e.unsupported(b.path(), "Anthropic's models take images and documents from the user only.")
			return
		}
		e.checkMedia(&b)
	case chat.Audio:
		e.unsupported(b.path(), "Anthropic's models take no sound.")
		return
	case chat.ToolResult:
		e.checkResult(&b)
	}
	e.push(role, b)
}

// push adds a block to the turn in progress, or begins the next one: neighbours of one role are one turn (D5).
func (e *encoder) push(role string, b block) {
	if n := len(e.plan.turns); n > 0 && e.plan.turns[n-1].role == role {
		e.plan.turns[n-1].blocks = append(e.plan.turns[n-1].blocks, b)
		return
	}
	e.plan.turns = append(e.plan.turns, turn{role: role, blocks: []block{b}})
}

// beginWithUser puts a user's turn in front where the conversation has none (D6).
func (e *encoder) beginWithUser() {
	if len(e.plan.turns) > 0 && e.plan.turns[0].role == userRole {
		return
	}
	first := turn{role: userRole, blocks: []block{{kind: chat.Text, text: placeholder}}}
	e.plan.turns = append([]turn{first}, e.plan.turns...)
}

// trimPrefill cuts white space at the end of a final assistant turn, which the model would have to continue and the API
// refuses (D8). A turn that was nothing else is dropped.
func (e *encoder) trimPrefill() {
	last := &e.plan.turns[len(e.plan.turns)-1]
	if last.role != assistantRole {
		return
	}
	b := &last.blocks[len(last.blocks)-1]
	if b.kind == chat.Text {
		b.text = strings.TrimRight(b.text, " \t\r\n\v\f\u0085\u00a0")
	}
}

// extras names or refuses what only the client's schema knows.
func (e *encoder) extras(list []chat.Extra) {
	for i := range list {
		x := &list[i]
		if x.Meaning {
			e.lose(x.Name, "%s has no counterpart at Anthropic's models.", x.Name)
		} else {
			e.drop(x.Name)
		}
	}
}
