package dialogue

import (
	"strconv"

	"dragoman/translate/chat"
)

// Pairs says how an API takes calls and results.
type Pairs struct {
	// WireID makes a client's id of a call into one that the API takes, always the same.
	WireID func(id string) string
	// Content is one part of a result as content of the message itself.
	Content func(p *chat.Part, result *Block) Block

	used map[string]int // ids as sent, with the suffix to try next: a client may repeat one id any number of times
}

// pending are the calls of one turn, whose results are looked for in the next.
type pending struct {
	wire []string         // in order, as sent; "" once answered
	byID map[string][]int // the client's id → positions of unanswered calls
}

const noResult = "No result was provided for this tool call."

// Pair gives each call an id that the API takes and puts each result into the turn after its call: every call must be answered there, and
// nothing else may be (D38, D39). It does nothing to a conversation without tools, the common one.
func (t *Turns) Pair(p Pairs) {
	if !t.HasTools() {
		return
	}
	p.used = map[string]int{}
	var open pending
	for i := range *t {
		turn := &(*t)[i]
		if turn.Role == Assistant {
			open = p.calls(turn)
			continue
		}
		turn.Blocks = p.results(turn.Blocks, open)
		open = pending{}
	}
	if len(open.wire) > 0 {
		*t = append(*t, Turn{Role: User, Blocks: p.results(nil, open)})
	}
}

func (p *Pairs) calls(t *Turn) pending {
	var open pending
	for i := range t.Blocks {
		b := &t.Blocks[i]
		if b.Kind != chat.ToolCall {
			continue
		}
		if open.byID == nil {
			open.byID = map[string][]int{}
		}
		id := b.Part.Call.ID
		b.ID = p.unique(p.WireID(id))
		open.byID[id] = append(open.byID[id], len(open.wire))
		open.wire = append(open.wire, b.ID)
	}
	return open
}

// unique makes an id that no call before has: some clients count from call_0 in every turn, and the APIs refuse a
// repeated one.
func (p *Pairs) unique(id string) string {
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

// results sorts a user's turn: results first (D41), calls without one get a note that says so, and a result without its
// call becomes text. A system message between a call and its result so ends up behind it (D40).
func (p *Pairs) results(blocks []Block, open pending) []Block {
	var first, rest []Block
	for _, b := range blocks {
		if b.Kind != chat.ToolResult {
			rest = append(rest, b)
		} else if b.ID = open.answer(b.Part.Result.CallID); b.ID != "" {
			first = append(first, b)
		} else {
			rest = p.orphan(rest, &b)
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
func missing(id string) Block {
	yes := true
	r := &chat.Result{Parts: []chat.Part{{Kind: chat.Text, Text: noResult}}, IsError: &yes}
	return Block{Kind: chat.ToolResult, ID: id, Part: &chat.Part{Kind: chat.ToolResult, Result: r}}
}

// orphan keeps the content of a result whose call is not in the turn before.
func (p *Pairs) orphan(rest []Block, b *Block) []Block {
	label := Block{Kind: chat.Text, Text: "Result of the earlier tool call " + b.Part.Result.CallID + ":", Message: b.Message, Index: b.Index}
	return p.AppendContent(append(rest, label), b)
}

// AppendContent adds what a result holds as content of the message itself.
func (p *Pairs) AppendContent(list []Block, result *Block) []Block {
	for i := range result.Part.Result.Parts {
		q := &result.Part.Result.Parts[i]
		if q.Kind == chat.Text && Blank(q.Text) {
			continue
		}
		list = append(list, p.Content(q, result))
	}
	return list
}
