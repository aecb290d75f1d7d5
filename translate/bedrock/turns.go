package bedrock

import (
	"fmt"

	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
)

// converse turns the messages into a system prompt and alternating turns that begin with the user's.
func (e *encoder) converse() {
	e.plan.turns = make(dialogue.Turns, 0, len(e.r.Messages)+1)
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
				e.add(dialogue.User, i, j, &m.Parts[j])
			}
		}
	}
	e.plan.turns.Pair(pairs)
	e.plan.turns.BeginWithUser()
	e.plan.turns.TrimPrefill()
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
		if dialogue.Blank(p.Text) {
			continue
		}
		b := dialogue.Block{Kind: chat.Text, Text: p.Text, Cache: p.Cache, Message: i, Index: j}
		if leading {
			e.plan.system = append(e.plan.system, b)
			continue
		}
		b.Text = "<system>\n" + p.Text + "\n</system>"
		e.plan.turns.Push(dialogue.User, b)
	}
}

// assistantMessage puts thinking first: the API takes it nowhere else in a turn (D75).
func (e *encoder) assistantMessage(i int, m *chat.Message) {
	for _, first := range [...]bool{true, false} {
		for j := range m.Parts {
			p := &m.Parts[j]
			if (p.Kind == chat.Thinking || p.Kind == chat.RedactedThinking) == first {
				e.add(dialogue.Assistant, i, j, p)
			}
		}
	}
}

// add settles one part.
func (e *encoder) add(role string, i, j int, p *chat.Part) {
	e.extras(p.Extra)
	b := dialogue.Block{Kind: p.Kind, Part: p, Cache: p.Cache, Message: i, Index: j}
	switch p.Kind {
	case chat.Text, chat.Refusal: // D135
		if dialogue.Blank(p.Text) {
			return
		}
		b.Kind, b.Text = chat.Text, p.Text
	case chat.Thinking, chat.RedactedThinking:
		if !e.thinkingBlock(&b) {
			return
		}
	case chat.Image, chat.Document:
		if role == dialogue.Assistant {
			e.unsupported(b.Path(), "Bedrock's models take images and documents from the user only.")
			return
		}
		b.Kind = e.checkMedia(&b)
	case chat.Audio: // D72
		e.unsupported(b.Path(), "Bedrock's Converse API takes no sound from this gateway.")
		return
	case chat.ToolResult:
		e.checkResult(&b)
	}
	e.plan.turns.Push(role, b)
}

// thinkingBlock says whether a block goes back to the model: only what a model here has signed, and where the models want
// their own back. One that another provider signed, and one without a signature, is refused by the API (D75, D77, D78).
func (e *encoder) thinkingBlock(b *dialogue.Block) bool {
	own, ok := chat.SignedBy(chat.Bedrock, b.Part.Signature)
	if ok && own != "" && e.model.signs {
		b.Sign, b.Cache = own, nil
		return true
	}
	if b.Part.Text != "" || b.Part.Signature != "" {
		e.drop(fmt.Sprintf("messages[%d].reasoning_content", b.Message))
	}
	return false
}

// instruct adds a sentence to the system prompt, or to the end of the conversation where the model has none.
func (e *encoder) instruct(text string) {
	b := dialogue.Block{Kind: chat.Text, Text: text}
	if e.model.system {
		e.plan.system = append(e.plan.system, b)
		return
	}
	e.plan.turns.Push(dialogue.User, b)
}
