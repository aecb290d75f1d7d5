package anthropic

import (
	"crypto/sha256"
	"encoding/hex"
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

// wireID is id itself when it is what the API takes, ^[a-zA-Z0-9_-]+$, else a name made from it: the same in every
// request, so that the prompt's prefix stays the same (D34, D83).
func wireID(id string) string {
	if id != "" && plainName(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + hex.EncodeToString(sum[:12])
}

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
		rest = append(rest, block{kind: q.Kind, text: q.Text, part: q, msg: b.msg, index: b.index})
	}
	return rest
}
