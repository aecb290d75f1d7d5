// Package cache answers a request that was answered before: the same tenant, the same model asked for, the same request to
// the last parameter. What is not exactly the same is a miss; nothing here guesses.
package cache

import (
	"context"
	"strings"
	"time"

	"dragoman/translate/chat"
)

// Backend keeps answers. Implementations are safe for concurrent use. The cache fails open: a backend that is away
// has no entries and takes none.
type Backend interface {
	// Enabled says whether it is worth making a key.
	Enabled() bool
	// Get finds an answer that has not expired. The entry is shared: it must not be written to.
	Get(ctx context.Context, key Key) (*Entry, bool)
	// Put keeps an answer, which must not be written to any more.
	Put(ctx context.Context, key Key, e *Entry)
}

// Entry is one stored answer: a complete 2xx one (see Storable), never an error (C14).
type Entry struct {
	ID       string         // of the exchange that made it, for ids that are derived from it
	Response *chat.Response // the answer in neutral form
	Schema   chat.Schema    // of the provider that gave it
	Raw      []byte         // its bytes as sent, for a client of the same schema; nil for a stream
	Model    string         // catalogue name
	Provider string
	Stored   time.Time
	Usage    chat.Usage // what it cost when it was made; a hit costs nothing
}

// Overheads of what Size counts, in bytes: a little more than the structs take.
const (
	entryOverhead  = 512
	choiceOverhead = 128
	partOverhead   = 192
	extraOverhead  = 64
)

// Size is about how many bytes of memory the entry takes.
func (e *Entry) Size() int {
	n := entryOverhead + len(e.ID) + len(e.Raw) + len(e.Model) + len(e.Provider)
	r := e.Response
	if r == nil {
		return n
	}
	n += len(r.ID) + len(r.Model) + extraSize(r.Extra)
	for i := range r.Choices {
		c := &r.Choices[i]
		n += choiceOverhead + len(c.RawFinish) + len(c.StopSequence) + len(c.LogProbs)
		for j := range c.Parts {
			n += partSize(&c.Parts[j])
		}
	}
	return n
}

func partSize(p *chat.Part) int {
	n := partOverhead + len(p.Text) + len(p.Signature) + extraSize(p.Extra)
	if p.Media != nil {
		n += len(p.Media.Data) + len(p.Media.URL)
	}
	if p.Call != nil {
		n += len(p.Call.ID) + len(p.Call.Name) + len(p.Call.Arguments)
	}
	if p.Result != nil {
		for i := range p.Result.Parts {
			n += partSize(&p.Result.Parts[i])
		}
	}
	return n
}

func extraSize(es []chat.Extra) (n int) {
	for i := range es {
		n += extraOverhead + len(es[i].Name) + len(es[i].JSON)
	}
	return n
}

// Cacheable says whether a request may be answered from the cache at all. Not so: tools and what they answered (an agent's
// next step depends on the world), images and documents (a URL's content changes, an inline one is rarely sent twice),
// several answers at once, a temperature that was set above 1 (the caller wants variety), and any parameter that this
// package does not know, which may be a search of the web.
func Cacheable(r *chat.Request) bool {
	switch {
	case len(r.Tools) > 0, r.N != nil && *r.N > 1, r.Temperature != nil && *r.Temperature > 1:
		return false
	}
	for i := range r.Messages {
		for j := range r.Messages[i].Parts {
			switch r.Messages[i].Parts[j].Kind {
			case chat.Text, chat.Thinking, chat.RedactedThinking, chat.Refusal:
			default:
				return false
			}
		}
	}
	for i := range r.Extra {
		if classify(r.Extra[i].Name) == unknownExtra {
			return false
		}
	}
	return true
}

// Storable says whether an answer is whole and worth repeating: every choice has content and stopped by itself, at a stop
// sequence or at the cap that the request set. A refusal, a content filter's work or a pause may be different next time.
func Storable(r *chat.Response) bool {
	if r == nil || len(r.Choices) == 0 {
		return false
	}
	for i := range r.Choices {
		c := &r.Choices[i]
		switch c.Finish {
		case chat.FinishStop, chat.FinishStopSequence, chat.FinishLength:
		default:
			return false
		}
		content := false
		for j := range c.Parts {
			switch c.Parts[j].Kind {
			case chat.Text:
				content = content || c.Parts[j].Text != ""
			case chat.Refusal, chat.ToolCall:
				return false
			}
		}
		if !content {
			return false
		}
	}
	return true
}

// Control reads a request's cache-control header (RFC 9111, section 5.2.1), as far as a client can use it to say what it
// wants: noStore means that the cache is neither asked nor filled, noCache (also max-age=0) that it is not asked.
func Control(header string) (noStore, noCache bool) {
	for header != "" {
		var d string
		d, header, _ = strings.Cut(header, ",")
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		switch name = strings.TrimSpace(name); {
		case strings.EqualFold(name, "no-store"):
			noStore = true
		case strings.EqualFold(name, "no-cache"):
			noCache = true
		case strings.EqualFold(name, "max-age") && strings.Trim(value, `" `) == "0":
			noCache = true
		}
	}
	return noStore, noCache
}

// None is the cache that is off.
type None struct{}

// Enabled is false.
func (None) Enabled() bool { return false }

// Get finds nothing.
func (None) Get(context.Context, Key) (*Entry, bool) { return nil, false }

// Put keeps nothing.
func (None) Put(context.Context, Key, *Entry) {}
