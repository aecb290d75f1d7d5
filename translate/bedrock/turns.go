package bedrock

import (
	"fmt"
	"strings"

	"dragoman/translate/chat"
)

const (
	userRole      = "user"
	assistantRole = "assistant"
)

// placeholder stands where the API wants a text and the conversation has none: blank text is refused (D7).
const placeholder = "."

// turn is one message as it will be sent.
type turn struct {
	role   string
	blocks []block
}

// block is one content block as it will be sent, with the cache point behind it.
type block struct {
	kind  chat.PartKind
	text  string     // of Text
	sign  string     // of Thinking and RedactedThinking: the provider's own signature
	part  *chat.Part // of every other kind
	id    string     // of ToolCall and ToolResult, as sent
	cache *chat.CacheMark
	msg   int // where it came from, for paths in faults
	index int
}

func (b *block) path() string { return fmt.Sprintf("messages[%d].content[%d]", b.msg, b.index) }

// converse turns the messages into a system prompt and alternating turns that begin with the user's.
func (e *encoder) converse() {
	e.plan.turns = make([]turn, 0, len(e.r.Messages)+1)
	for i := range e.r.Messages {
		m := &e.r.Messages[i]
		if m.Name != "" { // D9
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

// systemMessage hoists the leading run of system messages, each text a block of its own, for cache points stand between
// blocks (D4). A later one stays where it is, as the user's with a mark: hoisting it would change the prefix and have the
// whole history billed as new (D3). So does any of them where the model has no system prompt.
func (e *encoder) systemMessage(i int, m *chat.Message) {
	leading := len(e.plan.turns) == 0 && e.model.system
	for j := range m.Parts {
		p := &m.Parts[j]
		e.extras(p.Extra)
		if p.Kind != chat.Text {
			e.unsupported(fmt.Sprintf("messages[%d].content[%d]", i, j), "A system message can hold only text for Bedrock's models.")
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
		if !e.thinkingBlock(&b) {
			return
		}
	case chat.Image, chat.Document:
		if role == assistantRole {
			e.unsupported(b.path(), "Bedrock's models take images and documents from the user only.")
			return
		}
		b.kind = e.checkMedia(&b)
	case chat.Audio: // D72
		e.unsupported(b.path(), "Bedrock's Converse API takes no sound from this gateway.")
		return
	case chat.ToolResult:
		e.checkResult(&b)
	}
	e.push(role, b)
}

// thinkingBlock says whether a block goes back to the model: only what a model here has signed, and where the models want
// their own back. One that another provider signed, and one without a signature, is refused by the API (D75, D77, D78).
func (e *encoder) thinkingBlock(b *block) bool {
	own, ok := chat.SignedBy(chat.Bedrock, b.part.Signature)
	if ok && own != "" && e.model.signs {
		b.sign, b.cache = own, nil
		return true
	}
	if b.part.Text != "" || b.part.Signature != "" {
		e.drop(fmt.Sprintf("messages[%d].reasoning_content", b.msg))
	}
	return false
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

// trimPrefill cuts white space at the end of a final assistant turn, which the model would have to continue and refuses
// (D8).
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

// instruct adds a sentence to the system prompt, or to the end of the conversation where the model has none.
func (e *encoder) instruct(text string) {
	b := block{kind: chat.Text, text: text}
	if e.model.system {
		e.plan.system = append(e.plan.system, b)
		return
	}
	e.push(userRole, b)
}
