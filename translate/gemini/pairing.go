package gemini

import (
	"dragoman/translate/chat"
)

const noResult = "No result was provided for this tool call."

// maxID bounds the id of a call (D34).
const maxID = 64

// pending are the calls of one turn, whose responses are looked for in the next.
type pending struct {
	calls []*piece
	done  []bool
	byID  map[string][]int // the client's id → positions of unanswered calls
}

// pair puts the response to each call directly behind its turn, in the order of the calls: the service matches them by
// name and place (D35). A call without one gets a note that says so, a response without its call becomes text (D39); a
// message between the two ends up behind them (D40).
func (e *encoder) pair() {
	if !e.hasTools() {
		return
	}
	turns := make([]turn, 0, len(e.turns)+2)
	for i := 0; i < len(e.turns); i++ {
		t := e.turns[i]
		if t.role == modelRole {
			open := e.callsOf(&t)
			turns = append(turns, t)
			if open == nil {
				continue
			}
			var rest []piece
			answers := make([]piece, len(open.calls))
			for i+1 < len(e.turns) && e.turns[i+1].role == userRole {
				i++
				rest = append(rest, e.answers(answers, open, e.turns[i].parts)...)
			}
			turns = append(turns, turn{role: userRole, parts: e.complete(answers, open), responses: true})
			turns = e.appendRest(turns, append(hoisted(answers), rest...))
			continue
		}
		turns = e.appendRest(turns, e.answers(nil, &pending{}, t.parts))
	}
	e.turns = turns
}

func (e *encoder) appendRest(turns []turn, rest []piece) []turn {
	if len(rest) == 0 {
		return turns
	}
	if n := len(turns); n > 0 && turns[n-1].role == userRole && !turns[n-1].responses {
		turns[n-1].parts = append(turns[n-1].parts, rest...)
		return turns
	}
	return append(turns, turn{role: userRole, parts: rest})
}

func (e *encoder) hasTools() bool {
	for i := range e.turns {
		for j := range e.turns[i].parts {
			if k := e.turns[i].parts[j].kind; k == chat.ToolCall || k == chat.ToolResult {
				return true
			}
		}
	}
	return false
}

func (e *encoder) callsOf(t *turn) *pending {
	var open *pending
	for i := range t.parts {
		p := &t.parts[i]
		if p.kind != chat.ToolCall {
			continue
		}
		if open == nil {
			open = &pending{byID: map[string][]int{}}
		}
		id := p.part.Call.ID
		p.id = e.wireID(id)
		open.byID[id] = append(open.byID[id], len(open.calls))
		open.calls = append(open.calls, p)
	}
	if open != nil {
		open.done = make([]bool, len(open.calls))
	}
	return open
}

// wireID is a call's id as it is sent: Vertex AI has refused one (D34).
func (e *encoder) wireID(id string) string {
	if e.t.Dialect == Vertex || id == "" {
		return ""
	}
	return chat.CallID(id, maxID)
}

// answers puts the responses among a user's parts into their places, and returns what is left.
func (e *encoder) answers(into []piece, open *pending, parts []piece) (rest []piece) {
	for _, p := range parts {
		if p.kind != chat.ToolResult {
			rest = append(rest, p)
			continue
		}
		at := open.byID[p.part.Result.CallID]
		if len(at) == 0 {
			rest = e.orphan(rest, &p)
			continue
		}
		open.byID[p.part.Result.CallID] = at[1:]
		into[at[0]], open.done[at[0]] = p, true
	}
	return rest
}

// complete names the responses, and makes up those that are missing.
func (e *encoder) complete(answers []piece, open *pending) []piece {
	for i, call := range open.calls {
		if !open.done[i] {
			failed := true
			r := &chat.Result{Parts: []chat.Part{{Kind: chat.Text, Text: noResult}}, IsError: &failed}
			answers[i] = piece{kind: chat.ToolResult, part: &chat.Part{Kind: chat.ToolResult, Result: r}}
		}
		for k := range answers[i].part.Result.Parts {
			if p := &answers[i].part.Result.Parts[k]; p.Kind != chat.Text {
				e.checkMedia(&piece{part: p, msg: answers[i].msg, index: answers[i].index})
			}
		}
		answers[i].id, answers[i].name = call.id, e.names.Out(call.part.Call.Name)
	}
	return answers
}

// hoisted are the files of responses, which are JSON (D42): they follow as the user's.
func hoisted(answers []piece) (rest []piece) {
	for i := range answers {
		first := true
		for k := range answers[i].part.Result.Parts {
			p := &answers[i].part.Result.Parts[k]
			if p.Kind == chat.Text {
				continue
			}
			if first {
				first = false
				rest = append(rest, piece{kind: chat.Text, text: "Output of the tool call " + answers[i].name + ":"})
			}
			rest = append(rest, piece{kind: p.Kind, part: p, msg: answers[i].msg, index: answers[i].index})
		}
	}
	return rest
}

// orphan keeps the content of a response whose call is not in the turn before.
func (e *encoder) orphan(rest []piece, p *piece) []piece {
	rest = append(rest, piece{kind: chat.Text, text: "Result of the earlier tool call " + p.part.Result.CallID + ":", msg: p.msg, index: p.index})
	for i := range p.part.Result.Parts {
		q := &p.part.Result.Parts[i]
		x := piece{kind: q.Kind, text: q.Text, part: q, msg: p.msg, index: p.index}
		if q.Kind == chat.Text && blank(q.Text) {
			continue
		}
		if q.Kind != chat.Text {
			e.checkMedia(&x)
		}
		rest = append(rest, x)
	}
	return rest
}
