package anthropic

import (
	"fmt"

	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
)

// onlyText is the turn's one block when it can be written as a plain string.
func onlyText(t *dialogue.Turn) *dialogue.Block {
	if len(t.Blocks) == 1 && t.Blocks[0].Kind == chat.Text && t.Blocks[0].Cache == nil {
		return &t.Blocks[0]
	}
	return nil
}

// converse turns the messages into a system prompt and alternating turns that begin with the user's.
func (e *encoder) converse() {
	e.plan.turns = make(dialogue.Turns, 0, len(e.r.Messages)+1)
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
				e.add(dialogue.User, i, j, &m.Parts[j])
			}
		}
	}
	e.plan.turns.Pair(pairs)
	e.plan.turns.BeginWithUser()
	e.plan.turns.TrimPrefill()
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
		if _, own := chat.SignedBy(chat.Anthropic, p.Signature); !own { // the API refuses what it has not signed (D75, D78)
			if p.Text != "" || p.Signature != "" {
				e.drop(fmt.Sprintf("messages[%d].reasoning_content", i))
			}
			return
		}
	case chat.Image, chat.Document:
		if role == dialogue.Assistant {
			e.unsupported(b.Path(), "Anthropic's models take images and documents from the user only.")
			return
		}
		e.checkMedia(&b)
	case chat.Audio:
		e.unsupported(b.Path(), "Anthropic's models take no sound.")
		return
	case chat.ToolResult:
		e.checkResult(&b)
	}
	e.plan.turns.Push(role, b)
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
