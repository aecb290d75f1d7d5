package window

import (
	"strconv"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/tokens"
	"dragoman/translate/chat"
)

// Cut is what Truncate left out. The zero Cut means nothing.
type Cut struct {
	Messages int
	Tokens   int64 // as the model counts, estimated
}

// String is the value of the header x-dragoman-truncated.
func (c Cut) String() string {
	return "messages=" + strconv.Itoa(c.Messages) + "; tokens=" + strconv.FormatInt(c.Tokens, 10)
}

const (
	// defaultReserve is the room, in tokens, for an answer whose client set no cap; an eighth of the window where that is less.
	defaultReserve = 4096
	// steps: what is cut is rounded up to a sixteenth of the window, so that the next requests of the same conversation are
	// cut at the same place, and the provider's prompt cache stays valid.
	steps = 16
)

// Truncate leaves turns out of the request until it surely fits m's window: the oldest first, or, for truncate_middle,
// those after the first one. A turn is a user's message with all that follows it up to the next one. What stays in any
// case: system and developer messages, the last user message, the last message, and every tool result with its call. A
// last turn that is too long by itself (an agent's long run) loses its oldest calls together with their results.
//
// What it returns is a copy that shares its messages with the client's request, which stays as it is; nil and a zero Cut
// when nothing has to go. It is fault.ContextLength when what must stay does not fit.
func (g *Gauge) Truncate(m *config.Model, policy config.Overlong) (*chat.Request, Cut, error) {
	fit, err := g.Check(m)
	if err != nil || fit.Surely() {
		return nil, Cut{}, err
	}
	size, err := g.size(m)
	if err != nil {
		return nil, Cut{}, err
	}
	r, err := g.decode()
	if err != nil {
		return nil, Cut{}, err
	}
	excess := size.Total().Most() + max(fit.Output, g.reserve(m)) - m.Context
	order, certain := removable(r.Messages, policy == config.TruncateMiddle)
	gone := make([]bool, len(r.Messages))
	removed := tokens.Amount{}
	step := max(m.Context/steps, 1)
	rounded := (excess + step - 1) / step * step
	for i, unit := range order {
		if removed.Most() >= rounded || removed.Most() >= excess && i >= certain {
			break
		}
		for _, member := range unit {
			gone[member] = true
			removed.Tokens += size.Messages[member].Tokens
			removed.Margin += size.Messages[member].Margin
		}
	}
	if removed.Most() < excess {
		return nil, Cut{}, mustStay(size.Total().Tokens-removed.Tokens, fit, m)
	}
	return without(r, gone, removed.Tokens)
}

// reserve is the room for an answer whose length the client left open.
func (g *Gauge) reserve(m *config.Model) int64 {
	room := min(defaultReserve, m.Context/8)
	if m.MaxOutput > 0 {
		room = min(room, m.MaxOutput)
	}
	if g.head.MaxTokens > 0 || output(&chat.Head{MaxTokens: 1}, m) == 0 {
		return 0 // the client said, or the window is for the input alone
	}
	return room
}

// mustStay says that cutting does not help.
func mustStay(stays int64, f Fit, m *config.Model) *fault.Fault {
	err := fault.New(fault.ContextLength, "The prompt has about %d tokens; without all turns that may be left out it still has about %d, and the context window of %s has %d, the answer included. Shorten the last message or the system prompt.",
		f.Tokens, stays, clip(m.Name), f.Window)
	err.Param, err.Code = "messages", "context_length_exceeded"
	return err
}

func without(r *chat.Request, gone []bool, tokens int64) (*chat.Request, Cut, error) {
	shorter, cut := *r, Cut{Tokens: tokens}
	shorter.Messages = make([]chat.Message, 0, len(r.Messages))
	for i := range r.Messages {
		if gone[i] {
			cut.Messages++
		} else {
			shorter.Messages = append(shorter.Messages, r.Messages[i])
		}
	}
	return &shorter, cut, nil
}

// removable lists what may go, in the order in which it does; each entry is messages that go together. The first certain
// entries are turns that the policy wants gone; the rest go only where nothing else helps.
func removable(ms []chat.Message, middle bool) (order [][]int, certain int) {
	if len(ms) == 0 {
		return nil, 0
	}
	units := link(ms)
	blocks := blocksOf(ms, units)
	last := len(blocks) - 1
	for i, b := range blocks[:last] {
		if !middle || i > 0 {
			order = append(order, members(ms, b))
		}
	}
	certain = len(order)
	order = append(order, withinLast(ms, units, blocks[last])...)
	if middle && last > 0 {
		order = append(order, members(ms, blocks[0]))
	}
	return order, certain
}

// span is the messages from ≤ i < to.
type span struct{ from, to int }

// members are the messages of a block that may go with it.
func members(ms []chat.Message, b span) []int {
	list := make([]int, 0, b.to-b.from)
	for i := b.from; i < b.to; i++ {
		if !instructs(&ms[i]) {
			list = append(list, i)
		}
	}
	return list
}

// withinLast lists the calls of the last block with their results. The user's message that begins it, the last one and the
// last message stay, with whatever they are linked to.
func withinLast(ms []chat.Message, units []int, b span) [][]int {
	pinned := map[int]bool{units[len(ms)-1]: true}
	for i := len(ms) - 1; i >= b.from; i-- {
		if opens(&ms[i]) {
			pinned[units[i]] = true
			break
		}
	}
	for i := b.from; i < b.to; i++ { // a conversation that begins with a user must go on to: some providers demand it
		if !instructs(&ms[i]) {
			pinned[units[i]] = pinned[units[i]] || opens(&ms[i])
			break
		}
	}
	var order [][]int
	at := map[int]int{}
	for i := b.from; i < b.to; i++ {
		if pinned[units[i]] || instructs(&ms[i]) {
			continue
		}
		n, seen := at[units[i]]
		if !seen {
			n = len(order)
			at[units[i]] = n
			order = append(order, nil)
		}
		order[n] = append(order[n], i)
	}
	return order
}

// link gives each message the index of the first one that it cannot be parted from: a result belongs to the nearest call
// before it that has its id.
func link(ms []chat.Message) []int {
	unit := make([]int, len(ms))
	find := func(i int) int {
		for unit[i] != i {
			unit[i] = unit[unit[i]]
			i = unit[i]
		}
		return i
	}
	calls := map[string]int{}
	for i := range ms {
		unit[i] = i
		for j := range ms[i].Parts {
			p := &ms[i].Parts[j]
			switch {
			case p.Call != nil:
				calls[p.Call.ID] = i
			case p.Result != nil:
				if call, ok := calls[p.Result.CallID]; ok {
					x, y := find(call), find(i)
					unit[max(x, y)] = min(x, y)
				}
			}
		}
	}
	for i := range unit {
		unit[i] = find(i)
	}
	return unit
}

// blocksOf divides the messages into turns. Turns that share a unit are one block: a user's message may hold both the
// results of the turn before it and a new question.
func blocksOf(ms []chat.Message, units []int) []span {
	reach := make([]int, len(ms)) // of a unit's first message: its last one
	for i, u := range units {
		reach[u] = i
	}
	var blocks []span
	from, until, begun := 0, -1, false
	for i := range ms {
		if i > until && begun && opens(&ms[i]) {
			blocks = append(blocks, span{from, i})
			from = i
		}
		begun = begun || !instructs(&ms[i])
		until = max(until, reach[units[i]])
	}
	return append(blocks, span{from, len(ms)})
}

// opens says whether a message begins a turn: a user's, unless it holds nothing but results.
func opens(m *chat.Message) bool {
	if m.Role != chat.User {
		return false
	}
	for i := range m.Parts {
		if m.Parts[i].Kind != chat.ToolResult {
			return true
		}
	}
	return len(m.Parts) == 0
}

func instructs(m *chat.Message) bool { return m.Role == chat.System || m.Role == chat.Developer }
