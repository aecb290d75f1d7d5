package tokens

import (
	"unicode/utf8"

	"dragoman/translate/chat"
)

// Amount is a number of tokens that may be off by Margin either way.
type Amount struct{ Tokens, Margin int64 }

// Most is the upper end.
func (a Amount) Most() int64 { return a.Tokens + a.Margin }

// Least is the lower end.
func (a Amount) Least() int64 { return max(a.Tokens-a.Margin, 0) }

func (a *Amount) add(b Amount) {
	a.Tokens += b.Tokens
	a.Margin += b.Margin
}

// Size is what a request takes of a model's window.
type Size struct {
	Fixed    Amount   // tools, response format, the answer's opening
	Messages []Amount // one for each message
}

// Total is the whole request.
func (s Size) Total() Amount {
	sum := s.Fixed
	for _, m := range s.Messages {
		sum.add(m)
	}
	return sum
}

const (
	// exactBytes is how much text is counted whole; of more, as much is sampled. It bounds a count to some 50 ms, and still
	// holds all of a prompt of a quarter of a million tokens.
	exactBytes = 1 << 20
	// sampleBytes is one sample.
	sampleBytes = 2048
	// ownSample is how much of a message must have been sampled for its own density to count; else all messages' does.
	ownSample = 2 * sampleBytes
	// sampleMargin is by how many percent an extrapolation may be off.
	sampleMargin = 3
)

// Overheads in tokens.
const (
	messageTokens = 4 // role and delimiters (OpenAI's cookbook: 3 and the role)
	openingTokens = 3 // of the answer
	callTokens    = 8 // of a tool call or result, its id included
	toolTokens    = 8 // of a definition
	// toolMargin in percent: providers write definitions in a form of their own.
	toolMargin = 25
	// An image takes 85 to 1,700 tokens at most providers, by its pixels.
	imageTokens, imageMargin = 1000, 700
)

// Count is the number of tokens in a text.
func (k Kind) Count(text string) Amount {
	c := counter{kind: k.spec()}
	c.plan(len(text))
	var t tally
	c.text(&t, text)
	return c.amount(&t)
}

// Measure counts a whole request. Its time is bounded for any size: of more than a megabyte of text only samples are
// counted, and what media take is estimated by their size.
func (k Kind) Measure(r *chat.Request) Size {
	c := counter{kind: k.spec()}
	c.plan(textBytes(r))
	tallies := make([]tally, len(r.Messages)+1)
	for i := range r.Messages {
		c.message(&tallies[i], &r.Messages[i])
	}
	fixed := &tallies[len(r.Messages)]
	fixed.known = openingTokens
	for i := range r.Tools {
		c.tool(fixed, &r.Tools[i])
	}
	if r.Format != nil {
		c.bytes(fixed, r.Format.Schema)
	}
	s := Size{Messages: make([]Amount, len(r.Messages)), Fixed: c.amount(fixed)}
	s.Fixed.Margin += (s.Fixed.Tokens - openingTokens) * toolMargin / 100
	for i := range s.Messages {
		s.Messages[i] = c.amount(&tallies[i])
	}
	return s
}

// counter counts one request. Of long ones it samples sampleBytes out of every period, over all texts as if they were one,
// so that many short ones are sampled as one long one.
type counter struct {
	kind   *spec
	base   *encoding // loaded with the first text
	period int       // 0: everything is counted
	at     int       // position in the period
	all    tally
}

// tally is what has been seen of one message.
type tally struct {
	bytes, sampled, tokens int64 // of text
	known                  int64 // overheads
	media                  Amount
}

func (c *counter) plan(bytes int) {
	if bytes > exactBytes {
		c.period = sampleBytes * ((bytes + exactBytes - 1) / exactBytes)
	}
}

func (c *counter) bytes(t *tally, b []byte) { c.text(t, string(b)) }

// text counts a text, or its share of samples.
func (c *counter) text(t *tally, s string) {
	if s == "" {
		return
	}
	if c.base == nil {
		c.base = c.kind.base()
	}
	t.bytes += int64(len(s))
	if c.period == 0 {
		t.tokens += c.base.count(s)
		t.sampled += int64(len(s))
		return
	}
	for s != "" {
		if c.at >= c.period {
			c.at = 0
		}
		if c.at < sampleBytes {
			n := cut(s, sampleBytes-c.at)
			tokens := c.base.count(s[:n])
			t.tokens, t.sampled = t.tokens+tokens, t.sampled+int64(n)
			c.all.tokens, c.all.sampled = c.all.tokens+tokens, c.all.sampled+int64(n)
			c.at, s = c.at+n, s[n:]
			continue
		}
		n := cut(s, c.period-c.at)
		c.at, s = c.at+n, s[n:]
	}
}

// cut is the length of the first n bytes of s, up to the end of the rune that they end in.
func cut(s string, n int) int {
	if n >= len(s) {
		return len(s)
	}
	for end := min(len(s), n+utf8.UTFMax); n < end && !utf8.RuneStart(s[n]); {
		n++
	}
	return n
}

// amount turns a tally into the kind's tokens.
func (c *counter) amount(t *tally) Amount {
	tokens, margin := t.tokens, int64(0)
	if t.sampled < t.bytes {
		from := t
		if t.sampled < ownSample && c.all.sampled > 0 {
			from = &c.all
		}
		if from.sampled > 0 {
			tokens = (t.bytes*from.tokens + from.sampled/2) / from.sampled
		} else {
			tokens = t.bytes / 3
		}
		margin = tokens * sampleMargin / 100
	}
	tokens = (tokens*c.kind.percent + 99) / 100
	margin += tokens * c.kind.margin / 100
	return Amount{tokens + t.known + t.media.Tokens, margin + t.media.Margin}
}

func (c *counter) message(t *tally, m *chat.Message) {
	t.known += messageTokens
	if m.Name != "" {
		t.known++
		c.text(t, m.Name)
	}
	c.parts(t, m.Parts)
}

func (c *counter) parts(t *tally, parts []chat.Part) {
	for i := range parts {
		c.part(t, &parts[i])
	}
}

func (c *counter) part(t *tally, p *chat.Part) {
	switch p.Kind {
	case chat.Image, chat.Document, chat.Audio:
		t.media.add(media(p))
	case chat.ToolCall:
		if p.Call != nil {
			t.known += callTokens
			c.text(t, p.Call.Name)
			c.text(t, p.Call.Arguments)
		}
	case chat.ToolResult:
		if p.Result != nil {
			t.known += callTokens
			c.parts(t, p.Result.Parts)
		}
	case chat.RedactedThinking:
		n := int64(len(p.Signature)) / 4 // encrypted: about as long as what it hides
		t.media.add(Amount{n, n / 2})
	default:
		c.text(t, p.Text)
	}
}

func (c *counter) tool(t *tally, tool *chat.Tool) {
	t.known += toolTokens
	c.text(t, tool.Name)
	c.text(t, tool.Description)
	c.bytes(t, tool.Parameters)
	c.bytes(t, tool.Raw)
}

// textBytes is how much text Measure will meet.
func textBytes(r *chat.Request) int {
	n := 0
	for i := range r.Messages {
		n += len(r.Messages[i].Name) + partBytes(r.Messages[i].Parts)
	}
	for i := range r.Tools {
		t := &r.Tools[i]
		n += len(t.Name) + len(t.Description) + len(t.Parameters) + len(t.Raw)
	}
	if r.Format != nil {
		n += len(r.Format.Schema)
	}
	return n
}

func partBytes(parts []chat.Part) int {
	n := 0
	for i := range parts {
		p := &parts[i]
		switch {
		case p.Call != nil:
			n += len(p.Call.Name) + len(p.Call.Arguments)
		case p.Result != nil:
			n += partBytes(p.Result.Parts)
		default:
			n += len(p.Text)
		}
	}
	return n
}
