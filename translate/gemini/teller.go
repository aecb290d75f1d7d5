package gemini

import (
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// teller turns chunks into events; see the documentation of EventKind for their order. A whole answer is one chunk.
type teller struct {
	chunk   chunk
	borrow  bool // texts may share memory that the next event overwrites: for a reader that only counts
	buf     []byte
	ev      chat.Event
	emit    func(*chat.Event)
	started bool
	done    bool // an error was told: what follows is not read
	blocked bool // the prompt was: there is no candidate
	content bool // something of the answer has come
	id      string
	choices []choice
	usage   chat.Usage
}

// choice is a candidate in the making.
type choice struct {
	index    int
	kind     chat.PartKind // of the open block, 0: none is open
	next     int           // index of the next block
	size     int           // bytes of text in the open block
	calls    int
	finished bool
	cites    []chat.Citation
}

func (t *teller) tell(ev chat.Event) {
	t.ev = ev
	t.emit(&t.ev)
}

// finished says whether nothing is to come but usage.
func (t *teller) finished() bool {
	for i := range t.choices {
		if !t.choices[i].finished {
			return false
		}
	}
	return len(t.choices) > 0 || t.blocked
}

// apply tells what the chunk that was read brings.
func (t *teller) apply() {
	c := &t.chunk
	t.start()
	for i := range c.candidates {
		one := &c.candidates[i]
		if one.index >= maxChoices {
			continue
		}
		if failures[strictjson.Text(one.finish)] && !t.content && one.from == one.to {
			t.tell(chat.Event{Kind: chat.EventError, Fault: toolFailure(strictjson.Text(one.finish))})
			t.done = true
			return
		}
		t.candidate(one)
	}
	if c.blocked != nil && len(c.candidates) == 0 && len(t.choices) == 0 && !t.blocked { // D102
		t.blocked = true
		t.tell(chat.Event{Kind: chat.EventFinish, Finish: chat.FinishContentFilter, RawFinish: t.string(c.blocked, false)})
	}
	if c.usage.Known && c.usage != t.usage { // cumulative, and good for settling a stream that is cut (D94)
		t.usage = c.usage
		t.tell(chat.Event{Kind: chat.EventUsage, Usage: t.usage})
	}
}

// toolFailure is a model that wrote no valid call: another try may well succeed (D101).
func toolFailure(reason string) *fault.Fault {
	f := fault.New(fault.ProviderFailed, "The provider's model failed to call a tool: %s.", wire.ClipText(reason))
	f.Type = clipWord(reason)
	return f
}

func (t *teller) start() {
	if t.started {
		return
	}
	t.started = true
	t.id = t.string(t.chunk.id, false)
	t.usage = t.chunk.usage
	t.tell(chat.Event{Kind: chat.EventStart, ID: t.id, Model: t.string(t.chunk.model, false), Usage: t.usage})
}

func (t *teller) choice(index int) *choice {
	for i := range t.choices {
		if t.choices[i].index == index {
			return &t.choices[i]
		}
	}
	t.choices = append(t.choices, choice{index: index})
	return &t.choices[len(t.choices)-1]
}

func (t *teller) candidate(one *candidate) {
	c := t.choice(one.index)
	if c.finished {
		return
	}
	if one.grounding != nil || one.citations != nil {
		c.cites = citations(one.grounding, one.citations)
	}
	probs := logProbs(one.logprobs)
	for i := range t.chunk.parts[one.from:one.to] {
		p := &t.chunk.parts[one.from+i]
		t.content = true
		switch {
		case p.call:
			t.signed(c, p.signature)
			t.call(c, p)
		case p.data != nil:
			t.media(c, p)
		case p.thought:
			t.text(c, chat.Thinking, p.text, nil)
			if sig := t.string(p.signature, t.borrow); sig != "" {
				t.open(c, chat.Thinking)
				t.tell(chat.Event{Kind: chat.EventSignature, Choice: c.index, Index: c.next - 1, Text: chat.Sign(chat.Gemini, sig)})
				t.shut(c)
			}
		default:
			if t.text(c, chat.Text, p.text, probs) {
				probs = nil
			}
			t.signed(c, p.signature)
		}
	}
	if one.finish != nil {
		t.shut(c)
		c.finished = true
		raw := t.string(one.finish, false)
		t.tell(chat.Event{Kind: chat.EventFinish, Choice: c.index, Finish: finishOf(raw, c.calls > 0), RawFinish: raw})
	}
}

// text tells a piece of text or thought; false when there is none.
func (t *teller) text(c *choice, kind chat.PartKind, raw, probs []byte) bool {
	s := t.string(raw, t.borrow)
	if s == "" {
		return false
	}
	t.open(c, kind)
	c.size += len(s)
	t.tell(chat.Event{Kind: chat.EventDelta, Choice: c.index, Index: c.next - 1, Text: s, LogProbs: probs})
	return true
}

// signed tells the signature of a call that follows or of a text that came, in a block of its own (see signature.go).
func (t *teller) signed(c *choice, raw []byte) {
	sig := t.string(raw, false)
	if sig == "" {
		return
	}
	t.shut(c)
	t.open(c, chat.Thinking)
	t.tell(chat.Event{Kind: chat.EventSignature, Choice: c.index, Index: c.next - 1, Text: chat.Sign(chat.Gemini, sig)})
	t.shut(c)
}

func (t *teller) open(c *choice, kind chat.PartKind) {
	if c.kind == kind {
		return
	}
	t.shut(c)
	c.kind, c.size = kind, 0
	t.tell(chat.Event{Kind: chat.EventBlockStart, Choice: c.index, Index: c.next, Block: chat.Part{Kind: kind}})
	c.next++
}

func (t *teller) shut(c *choice) {
	if c.kind == 0 {
		return
	}
	ev := chat.Event{Kind: chat.EventBlockStop, Choice: c.index, Index: c.next - 1}
	if c.kind == chat.Text && c.cites != nil {
		ev.Block.Citations, c.cites = within(c.cites, c.size), nil
	}
	c.kind = 0
	t.tell(ev)
}

// call tells a call, which comes whole (D112).
func (t *teller) call(c *choice, p *wirePiece) {
	t.shut(c)
	id := t.string(p.callID, false)
	if id == "" {
		if t.id == "" {
			t.id = randomID()
		}
		id = callID(t.id, c.index, c.calls)
	}
	c.calls++
	call := chat.Call{ID: id, Name: t.string(p.name, false)}
	t.tell(chat.Event{Kind: chat.EventBlockStart, Choice: c.index, Index: c.next, Block: chat.Part{Kind: chat.ToolCall, Call: &call}})
	args := "{}" // D33
	if p.args != nil {
		args = string(p.args)
	}
	t.tell(chat.Event{Kind: chat.EventDelta, Choice: c.index, Index: c.next, Text: args})
	t.tell(chat.Event{Kind: chat.EventBlockStop, Choice: c.index, Index: c.next})
	c.next++
}

// media tells an image or a sound that the model made.
func (t *teller) media(c *choice, p *wirePiece) {
	t.shut(c)
	m := &chat.Media{Type: wire.MediaType(t.string(p.mime, false)), Data: standard(t.string(p.data, false))}
	kind := chat.Image
	if strings.HasPrefix(m.Type, "audio/") {
		kind = chat.Audio
	}
	t.tell(chat.Event{Kind: chat.EventBlockStart, Choice: c.index, Index: c.next, Block: chat.Part{Kind: kind, Media: m}})
	t.tell(chat.Event{Kind: chat.EventBlockStop, Choice: c.index, Index: c.next})
	c.next++
	t.signed(c, p.signature)
}

// string is the value of a raw string. A borrowed one is valid until the next call.
func (t *teller) string(raw []byte, borrow bool) string {
	if raw == nil {
		return ""
	}
	t.buf = strictjson.AppendText(t.buf[:0], raw)
	if borrow {
		return view(t.buf)
	}
	return string(t.buf)
}

// callID is an id for a call that came without one, of the answer's id, which is unique, and the call's place (D34, D112).
func callID(id string, choice, n int) string {
	keep := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, id)
	if keep == "" {
		keep = randomID()
	}
	return "call_" + keep[:min(len(keep), 44)] + "_" + strconv.Itoa(choice) + "_" + strconv.Itoa(min(n, 99_999))
}

func randomID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}
