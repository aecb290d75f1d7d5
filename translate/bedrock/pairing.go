package bedrock

import (
	"strconv"

	"dragoman/translate/chat"
)

// pairing gives each call an id that the API takes and puts each result into the turn after its call: every call must be
// answered there, and nothing else may be (D38, D39).
type pairing struct {
	used map[string]int // ids as sent, with the suffix to try next: a client may repeat one id any number of times
}

// pending are the calls of one turn, whose results are looked for in the next.
type pending struct {
	wire []string         // in order, as sent; "" once answered
	byID map[string][]int // the client's id → positions of unanswered calls
}

const noResult = "No result was provided for this tool call."

// pair does nothing to a conversation without tools, the common one.
func (e *encoder) pair() {
	if !e.hasToolBlocks() {
		return
	}
	p := pairing{used: map[string]int{}}
	var open pending
	for i := range e.plan.turns {
		t := &e.plan.turns[i]
		if t.role == assistantRole {
			open = p.calls(t)
			continue
		}
		t.blocks = p.results(t.blocks, open)
		open = pending{}
	}
	if len(open.wire) > 0 {
		e.plan.turns = append(e.plan.turns, turn{role: userRole, blocks: p.results(nil, open)})
	}
}

func (e *encoder) hasToolBlocks() bool {
	for i := range e.plan.turns {
		for j := range e.plan.turns[i].blocks {
			if k := e.plan.turns[i].blocks[j].kind; k == chat.ToolCall || k == chat.ToolResult {
				return true
			}
		}
	}
	return false
}

func (p *pairing) calls(t *turn) pending {
	var open pending
	for i := range t.blocks {
		b := &t.blocks[i]
		if b.kind != chat.ToolCall {
			continue
		}
		if open.byID == nil {
			open.byID = map[string][]int{}
		}
		id := b.part.Call.ID
		b.id = p.unique(wireID(id))
		open.byID[id] = append(open.byID[id], len(open.wire))
		open.wire = append(open.wire, b.id)
	}
	return open
}

// unique makes an id that no call before has: some clients count from call_0 in every turn, and the API refuses a
// repeated one.
func (p *pairing) unique(id string) string {
	n, taken := p.used[id]
	if !taken {
		p.used[id] = 2
		return id
	}
	for ; ; n++ {
		out := id + "_" + strconv.Itoa(n)
		if _, taken := p.used[out]; !taken {
			p.used[id], p.used[out] = n+1, 2
			return out
		}
	}
}

// answer is the id, as sent, of the first unanswered call of the client's id; "" when there is none.
func (o *pending) answer(id string) string {
	at := o.byID[id]
	if len(at) == 0 {
		return ""
	}
	o.byID[id] = at[1:]
	wire := o.wire[at[0]]
	o.wire[at[0]] = ""
	return wire
}

// maxID is the longest toolUseId in bytes.
const maxID = 64

// wireID is id itself when it is what the API takes, ^[a-zA-Z0-9_-]{1,64}$, else a name made from it: the same in every
// request, so that the prompt's prefix stays the same (D34, D83). Room is left for the suffix of a repeated one.
func wireID(id string) string { return chat.CallID(id, maxID-idSuffix) }

const idSuffix = 8

// results sorts a user's turn: results first (D41), calls without one get a note that says so, and a result without its
// call becomes text. A system message between a call and its result so ends up behind it (D40).
func (p *pairing) results(blocks []block, open pending) []block {
	var first, rest []block
	for _, b := range blocks {
		if b.kind != chat.ToolResult {
			rest = append(rest, b)
		} else if b.id = open.answer(b.part.Result.CallID); b.id != "" {
			first = append(first, b)
		} else {
			rest = orphan(rest, &b)
		}
	}
	for _, id := range open.wire {
		if id != "" {
			first = append(first, missing(id))
		}
	}
	return append(first, rest...)
}

// missing is a result that says there is none. It is an error, so that the model does not take it for an answer.
func missing(id string) block {
	yes := true
	r := &chat.Result{Parts: []chat.Part{{Kind: chat.Text, Text: noResult}}, IsError: &yes}
	return block{kind: chat.ToolResult, id: id, part: &chat.Part{Kind: chat.ToolResult, Result: r}}
}

// orphan keeps the content of a result whose call is not in the turn before.
func orphan(rest []block, b *block) []block {
	label := block{kind: chat.Text, text: "Result of the earlier tool call " + b.part.Result.CallID + ":", msg: b.msg, index: b.index}
	rest = append(rest, label)
	for i := range b.part.Result.Parts {
		q := &b.part.Result.Parts[i]
		if q.Kind == chat.Text && blank(q.Text) {
			continue
		}
		rest = append(rest, resultBlock(q, b))
	}
	return rest
}

// settleHistory writes the tool calls of the past as text where the request has no tools: the API refuses such blocks
// without a toolConfig, and tools made up for it could be called, for Converse cannot forbid calls (D22, D26).
func (e *encoder) settleHistory() {
	if e.plan.tools || !e.hasToolBlocks() {
		return
	}
	names := map[string]string{} // the last call's name by its id, as sent
	for i := range e.plan.turns {
		t := &e.plan.turns[i]
		flat := make([]block, 0, len(t.blocks))
		for _, b := range t.blocks {
			switch b.kind {
			case chat.ToolCall:
				names[b.id] = b.part.Call.Name
				args := b.part.Call.Arguments
				if blank(args) {
					args = "{}"
				}
				b.kind, b.text = chat.Text, "[Called the tool "+b.part.Call.Name+" with "+args+"]"
				flat = append(flat, b)
			case chat.ToolResult:
				flat = flattenResult(flat, &b, names[b.id])
			default:
				flat = append(flat, b)
			}
		}
		t.blocks = flat
	}
}

func flattenResult(flat []block, b *block, name string) []block {
	word := "Result"
	if b.part.Result.IsError != nil && *b.part.Result.IsError {
		word = "Error"
	}
	flat = append(flat, block{kind: chat.Text, text: "[" + word + " of the tool " + name + ":]", msg: b.msg, index: b.index})
	for i := range b.part.Result.Parts {
		q := &b.part.Result.Parts[i]
		if q.Kind == chat.Text && blank(q.Text) {
			continue
		}
		flat = append(flat, resultBlock(q, b))
	}
	flat[len(flat)-1].cache = b.cache
	return flat
}

// resultBlock is one part of a result as content of the message itself.
func resultBlock(q *chat.Part, b *block) block {
	kind := q.Kind
	if kind != chat.Text {
		kind = mediaOf(q).kind()
	}
	return block{kind: kind, text: q.Text, part: q, msg: b.msg, index: b.index}
}
