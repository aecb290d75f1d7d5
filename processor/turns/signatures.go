package turns

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"dragoman/translate/chat"
)

const (
	// maxLookups bounds how many turns of one request are looked up: the latest ones, which are the ones that providers check.
	maxLookups = 256
	// maxRemembered bounds the calls of one answer under which its signed parts are kept.
	maxRemembered = 64
)

// Remember keeps what an answer has of signed parts (thinking with its signature, signatures on calls), for clients that
// drop what they do not know (D37, D79): under the id of each of its calls, or, for a turn of text alone, under a hash of
// that (D80). An answer without any costs nothing.
func Remember(ctx context.Context, s Store, tenant string, r *chat.Response) error {
	var entries []Entry
	for i := range r.Choices {
		entries = append(entries, remembered(tenant, r.Choices[i].Parts)...)
	}
	if len(entries) == 0 {
		return nil
	}
	return s.Put(ctx, entries...)
}

func remembered(tenant string, parts []chat.Part) (entries []Entry) {
	kept, signed := outline(parts)
	if !signed {
		return nil
	}
	value := EncodeMessage(&chat.Message{Role: chat.Assistant, Parts: kept})
	for i := range parts {
		if c := parts[i].Call; c != nil && validID(c.ID) && len(entries) < maxRemembered {
			entries = append(entries, Entry{Key{tenant, Signature, c.ID}, value})
		}
	}
	if len(entries) == 0 {
		if id := textID(parts); id != "" {
			entries = append(entries, Entry{Key{tenant, Signature, id}, value})
		}
	}
	return entries
}

// outline is a turn without what its client will send again: signed thinking as it is, calls by their id and signature, a
// mark for each text.
func outline(parts []chat.Part) (kept []chat.Part, signed bool) {
	for i := range parts {
		switch p := &parts[i]; {
		case p.Kind == chat.Thinking && p.Signature != "", p.Kind == chat.RedactedThinking:
			kept, signed = append(kept, chat.Part{Kind: p.Kind, Text: p.Text, Signature: p.Signature}), true
		case p.Kind == chat.ToolCall && p.Call != nil:
			kept = append(kept, chat.Part{Kind: p.Kind, Signature: p.Signature, Call: &chat.Call{ID: p.Call.ID}})
			signed = signed || p.Signature != ""
		case p.Kind == chat.Text:
			kept = append(kept, chat.Part{Kind: p.Kind, Signature: p.Signature})
			signed = signed || p.Signature != ""
		}
	}
	return kept, signed
}

// textID names a turn of text alone, "" for one that says nothing.
func textID(parts []chat.Part) string {
	h := sha256.New()
	n := 0
	for i := range parts {
		if parts[i].Kind == chat.Text {
			n += len(parts[i].Text)
			h.Write([]byte(parts[i].Text))
		}
	}
	if n == 0 {
		return ""
	}
	return "text:" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Restore puts back into a request's history the signed parts that its client has dropped, and returns into how many turns.
// It asks the store, once, only when the history has a turn with calls and without anything signed; turns of text alone are
// looked up beside those. What the store cannot tell stays as it is: a provider that insists will say so. The messages of
// the request are replaced, not written to.
func Restore(ctx context.Context, s Store, tenant string, r *chat.Request) int {
	lost, keys := bare(tenant, r.Messages)
	if len(lost) == 0 {
		return 0
	}
	values, err := s.Get(ctx, keys...)
	if err != nil {
		return 0
	}
	restored := 0
	used := map[string]bool{}
	for i, value := range values {
		m, err := DecodeMessage(value)
		if value == nil || err != nil {
			continue
		}
		if restored == 0 {
			r.Messages = append([]chat.Message(nil), r.Messages...)
		}
		// A client may have made one message of each call: the thinking belongs before the first.
		again := used[string(value)]
		used[string(value)] = true
		r.Messages[lost[i]].Parts = merge(r.Messages[lost[i]].Parts, m.Parts, again)
		restored++
	}
	return restored
}

// bare finds the assistant's turns without anything signed, in order, with the keys under which what was signed may be; nothing
// when none of them calls a tool, which is told without hashing a text.
func bare(tenant string, messages []chat.Message) (lost []int, keys []Key) {
	calls := false
	for i := len(messages) - 1; i >= 0 && len(lost) < maxLookups; i-- {
		if messages[i].Role != chat.Assistant {
			continue
		}
		if call, signed := look(messages[i].Parts); !signed {
			calls = calls || call != ""
			lost = append(lost, i)
		}
	}
	if !calls {
		return nil, nil
	}
	slices.Reverse(lost)
	keys = make([]Key, 0, len(lost))
	asked := lost[:0]
	for _, i := range lost {
		id, _ := look(messages[i].Parts)
		if id == "" {
			id = textID(messages[i].Parts)
		}
		if validID(id) {
			asked, keys = append(asked, i), append(keys, Key{tenant, Signature, id})
		}
	}
	return asked, keys
}

// look tells the id of a turn's first call, and whether anything of the turn is signed.
func look(parts []chat.Part) (call string, signed bool) {
	for i := range parts {
		p := &parts[i]
		signed = signed || p.Signature != ""
		if p.Kind == chat.ToolCall && p.Call != nil && call == "" {
			call = p.Call.ID
		}
	}
	return call, signed
}

// merge puts a turn's signed parts back: thinking before the call or text that it led to, signatures on their calls and
// texts. Thinking that lost its signature gives way to the same with it. again: another message has the thinking already.
func merge(parts, kept []chat.Part, again bool) []chat.Part {
	out := make([]chat.Part, 0, len(parts)+len(kept))
	calls := map[string]int{}
	texts := 0
	for i := range parts {
		if parts[i].Kind == chat.ToolCall && parts[i].Call != nil {
			calls[parts[i].Call.ID] = i
		}
		if parts[i].Kind == chat.Text {
			texts++
		}
	}
	before := make(map[int][]chat.Part, 1) // thinking, by the part that it stands before
	signature := map[int]string{}
	placeKept(parts, kept, calls, texts, before, signature)
	for i := range parts {
		if !again {
			out = append(out, before[i]...)
		}
		p := parts[i]
		if p.Kind == chat.Thinking || p.Kind == chat.RedactedThinking {
			continue
		}
		if sig := signature[i]; sig != "" {
			p.Signature = sig
		}
		out = append(out, p)
	}
	return out
}

// placeKept finds where what was kept belongs. Clients join the texts of a turn, so thinking between texts goes to the front
// unless a call follows it.
func placeKept(parts, kept []chat.Part, calls map[string]int, texts int, before map[int][]chat.Part, signature map[int]string) {
	first := 0
	for first < len(parts)-1 && (parts[first].Kind == chat.Thinking || parts[first].Kind == chat.RedactedThinking) {
		first++
	}
	var waiting []chat.Part
	called := false // a call was passed: what waits belongs to a later one
	for i := range kept {
		switch p := &kept[i]; p.Kind {
		case chat.Thinking, chat.RedactedThinking:
			waiting = append(waiting, *p)
		case chat.Text:
			if !called {
				before[first] = append(before[first], waiting...)
				waiting = nil
			}
			if p.Signature != "" && texts > 0 {
				signature[lastText(parts)] = p.Signature
			}
		case chat.ToolCall:
			at, ok := calls[p.Call.ID]
			if !ok {
				continue // the client dropped the call, too
			}
			if !called {
				at = first
			}
			before[at] = append(before[at], waiting...)
			waiting, called = nil, true
			if p.Signature != "" {
				signature[calls[p.Call.ID]] = p.Signature
			}
		}
	}
	if len(waiting) > 0 && !called {
		before[first] = append(before[first], waiting...)
	}
}

func lastText(parts []chat.Part) int {
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].Kind == chat.Text {
			return i
		}
	}
	return -1
}
