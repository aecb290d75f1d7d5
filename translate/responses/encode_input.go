package responses

import (
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Members that are left out wherever they stand, under one name each.
const (
	cacheMember    = "cache_control"
	isErrorMember  = "messages[].content[].is_error"
	nameMember     = "messages[].name"
	thinkingMember = "messages[].content[].thinking"
)

func (e *encoder) dropThinking() {
	if e.own {
		e.drop(ownThinkingMember)
	} else {
		e.drop(thinkingMember)
	}
}

// noteCustom remembers the tools that take plain text instead of arguments: their calls are items of their own kind.
func (e *encoder) noteCustom(tools []chat.Tool) {
	for i := range tools {
		if tools[i].Kind == customType {
			if e.custom == nil {
				e.custom, e.customs = map[string]bool{}, map[string]bool{}
			}
			e.custom[tools[i].Name] = true
		}
	}
}

// messages writes every message as items.
func (e *encoder) messages(list []chat.Message) {
	for i := range list {
		m := &list[i]
		for j := range m.Parts {
			e.marks(&m.Parts[j])
		}
		if m.Name != "" {
			e.drop(nameMember) // D9
		}
		switch {
		case m.Role == chat.Assistant:
			e.assistant(m)
		case m.Role == chat.ToolRole || hasResults(m.Parts):
			e.results(m)
		default:
			e.say(m.Role, m.Parts)
		}
	}
}

// marks names what no part of this schema can hold. A cache mark changes no meaning, and must not be guessed into the
// newest models' prompt_cache_breakpoint (D82).
func (e *encoder) marks(p *chat.Part) {
	if p.Cache != nil {
		e.drop(cacheMember)
	}
	for i := range p.Extra {
		if p.Extra[i].Meaning {
			e.noCounterpart(p.Extra[i].Name)
		} else {
			e.drop(p.Extra[i].Name)
		}
	}
}

func hasResults(parts []chat.Part) bool {
	for i := range parts {
		if parts[i].Kind == chat.ToolResult {
			return true
		}
	}
	return false
}

// open begins an item: a comma where one is due, and its type. prefix is what its id begins with in a list of items.
func (e *encoder) open(kind, prefix string) {
	if e.items > 0 {
		e.b = append(e.b, ',')
	}
	e.items++
	e.b = append(append(append(e.b, `{"type":"`...), kind...), '"')
	if e.listed != nil && kind != reasoningItem {
		e.text("id", e.listed.id(prefix, e.items))
		e.b = append(e.b, `,"status":"completed"`...)
	}
}

// say writes a message of anyone but the assistant.
func (e *encoder) say(role chat.Role, parts []chat.Part) {
	e.open(messageItem, "msg_")
	e.text("role", string(role))
	e.key("content")
	e.content(parts)
	e.b = append(e.b, '}')
}

// results writes each tool result as an item (D38), and what else is in the turn behind them (D41).
func (e *encoder) results(m *chat.Message) {
	var rest []chat.Part
	for i := range m.Parts {
		if p := &m.Parts[i]; p.Kind == chat.ToolResult && p.Result != nil {
			e.result(p.Result)
		} else {
			rest = append(rest, m.Parts[i])
		}
	}
	if len(rest) > 0 {
		e.say(chat.User, rest)
	}
}

// result writes the output of a call. Whether the tool failed has no place (D43).
func (e *encoder) result(r *chat.Result) {
	if r.IsError != nil && *r.IsError {
		e.drop(isErrorMember)
	}
	for i := range r.Parts {
		e.marks(&r.Parts[i])
	}
	if e.customs[r.CallID] {
		e.open(customOutItem, "cto_")
	} else {
		e.open(outputItem, "fco_")
	}
	e.text("call_id", chat.CallID(r.CallID, maxCallID))
	e.key("output")
	if len(r.Parts) == 1 && r.Parts[0].Kind == chat.Text {
		e.b = strictjson.AppendString(e.b, r.Parts[0].Text)
	} else {
		e.content(r.Parts)
	}
	e.b = append(e.b, '}')
}

// assistant writes a turn's parts as items in their order. Every text is a message of its own, whose content may then be a
// string: the schema wants ids of messages with parts.
func (e *encoder) assistant(m *chat.Message) {
	for i := range m.Parts {
		switch p := &m.Parts[i]; p.Kind {
		case chat.Text, chat.Refusal:
			e.spoken(p)
		case chat.ToolCall:
			if p.Call != nil {
				e.call(p.Call)
			}
		case chat.Thinking, chat.RedactedThinking:
			e.thought(p)
		default:
			if (e.all || e.own || e.listed != nil) && drawn(p) {
				e.drawing(p.Media)
				break
			}
			e.refuse("messages[].content", "An assistant message holds an image or a file, which a provider that this request would go to does not take there.")
		}
	}
}

// drawing writes an image that a model made.
func (e *encoder) drawing(m *chat.Media) {
	if e.items > 0 {
		e.b = append(e.b, ',')
	}
	e.items++
	id := "ig_" + strconv.Itoa(e.items)
	if e.listed != nil {
		id = e.listed.id("ig_", e.items)
	}
	e.b = appendImageItem(e.b, id, statusCompleted, m)
}

// thought writes reasoning that a provider of this schema can read; other thinking is bound to the model that made it
// (D78).
func (e *encoder) thought(p *chat.Part) {
	if _, _, ok := ownSignature(p.Signature); !ok && !e.all {
		e.dropThinking()
		return
	}
	e.open(reasoningItem, "")
	made := foreignID + strconv.Itoa(e.items)
	if e.listed != nil {
		made = e.listed.id(foreignID, e.items)
	}
	e.b = append(appendReasoning(e.b, p, reasoningID(p, made)), '}')
}

func (e *encoder) spoken(p *chat.Part) {
	e.open(messageItem, "msg_")
	switch {
	case e.listed != nil && p.Kind == chat.Text:
		e.b = append(e.b, `,"role":"assistant","content":[`...)
		e.b = append(appendOutputText(e.b, p.Text, p.Citations, nil), ']', '}')
	case p.Kind == chat.Text:
		e.b = strictjson.AppendString(append(e.b, `,"role":"assistant","content":`...), p.Text)
		e.b = append(e.b, '}')
	default:
		if e.listed == nil {
			e.text("id", "msg_"+strconv.Itoa(e.items))
			e.b = append(e.b, `,"status":"completed"`...)
		}
		e.b = strictjson.AppendString(append(e.b, `,"role":"assistant","content":[{"type":"refusal","refusal":`...), p.Text)
		e.b = append(e.b, '}', ']', '}')
	}
}

func (e *encoder) call(c *chat.Call) {
	if e.custom[c.Name] {
		if input, ok := customInput(c.Arguments); ok {
			e.customs[c.ID] = true
			e.open(customItem, "ctc_")
			e.text("call_id", chat.CallID(c.ID, maxCallID))
			e.text("name", c.Name)
			e.text("input", input)
			e.b = append(e.b, '}')
			return
		}
	}
	e.open(callItem, "fc_")
	e.text("call_id", chat.CallID(c.ID, maxCallID))
	e.text("name", e.names.Out(c.Name))
	e.text("arguments", orObject(c.Arguments))
	e.b = append(e.b, '}')
}

// customInput is the plain text within the arguments that stand for it.
func customInput(arguments string) (input string, ok bool) {
	s := strictjson.NewLenient([]byte(arguments))
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "input" && s.Kind() == strictjson.String {
			input, ok = s.String(), true
		}
	}
	return input, ok && s.Err() == nil
}

// orObject is arguments, or an empty object where a model streamed none (D33).
func orObject(arguments string) string {
	if arguments == "" {
		return "{}"
	}
	return arguments
}
