package processor

import (
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/processor/route"
)

// A conversation is known by the id that its client gives it, else by its beginning: tools, system prompt and first user turn stay the
// same while it grows, and they are what a provider's prompt cache begins with. Keys are apart by tenant.

// maxPrefix bounds how much of each part is hashed, in bytes.
const maxPrefix = 64 << 10

// conversation is the key that a request has for affinity; 0 for none, or where it could make no difference.
func (ex *Exchange) conversation(rt *config.Route) uint64 {
	if rt.Sticky != config.StickyConversation && (!rt.Affinity.On || !choices(rt)) {
		return 0
	}
	if id := ex.conversationID(); id != "" {
		return route.KeyOf(ex.principal.Tenant + "\x00id\x00" + id)
	}
	if ex.head.InputTokens() < rt.Affinity.MinTokens {
		return 0
	}
	return ex.prefix()
}

// choices says whether a route has equals to choose among: models that are scored, or clusters of one.
func choices(rt *config.Route) bool {
	if len(rt.Candidates) > 1 && rt.Strategy.Scores() {
		return true
	}
	for i := range rt.Candidates {
		if len(rt.Candidates[i].Model.Provider.Clusters) > 1 {
			return true
		}
	}
	return false
}

// conversationID is what the client calls its conversation: in a header, in a field that vendors have for it, or in metadata.
func (ex *Exchange) conversationID() string {
	if ex.session != "" {
		return ex.session
	}
	for _, name := range [...]string{"prompt_cache_key", "conversation"} {
		if raw := ex.head.Field(name); raw != nil {
			v := gjson.ParseBytes(raw)
			if id := v.Get("id"); v.IsObject() && id.Type == gjson.String {
				v = id
			}
			if v.Type == gjson.String && v.Str != "" {
				return v.Str
			}
		}
	}
	if raw := ex.head.Field("metadata"); raw != nil {
		for _, id := range gjson.GetManyBytes(raw, "conversation_id", "session_id", "thread_id") {
			if id.Type == gjson.String && id.Str != "" {
				return id.Str
			}
		}
	}
	return ""
}

// prefix is the key of the conversation's beginning. Only text counts: clients move cache marks about from turn to turn.
func (ex *Exchange) prefix() uint64 {
	d := xxhash.New()
	_, _ = d.WriteString(ex.principal.Tenant)
	h := ex.head
	for i := range h.Fields {
		switch h.Fields[i].Name {
		case "tools":
			raw := h.Field("tools")
			_, _ = d.Write(raw[:min(len(raw), maxPrefix)])
		case "system", "instructions", "systemInstruction", "system_instruction":
			digestText(d, parsed(h.Field(h.Fields[i].Name)))
		case "messages", "contents", "input":
			digestTurns(d, parsed(h.Field(h.Fields[i].Name)))
		}
	}
	return max(d.Sum64(), 1)
}

// parsed looks at JSON without a copy: nothing writes to a body.
func parsed(raw []byte) gjson.Result {
	if len(raw) == 0 {
		return gjson.Result{}
	}
	return gjson.Parse(unsafe.String(&raw[0], len(raw)))
}

// digestTurns takes in the turns up to the first user's.
func digestTurns(d *xxhash.Digest, turns gjson.Result) {
	if !turns.IsArray() {
		digestText(d, turns)
		return
	}
	turns.ForEach(func(_, turn gjson.Result) bool {
		role := turn.Get("role").Str
		_, _ = d.WriteString("\x00" + role)
		content := turn.Get("content")
		if !content.Exists() {
			content = turn.Get("parts") // Gemini
		}
		digestText(d, content)
		return role != "user"
	})
}

// digestText takes in a text, or the texts of parts; of a part without text, all of it.
func digestText(d *xxhash.Digest, v gjson.Result) {
	switch {
	case v.Type == gjson.String:
		_, _ = d.WriteString(v.Raw[:min(len(v.Raw), maxPrefix)])
	case v.IsArray():
		v.ForEach(func(_, part gjson.Result) bool {
			if text := part.Get("text"); text.Type == gjson.String {
				part = text
			}
			_, _ = d.WriteString(part.Raw[:min(len(part.Raw), maxPrefix)])
			return true
		})
	case v.IsObject():
		digestText(d, v.Get("parts"))
	}
}

// draw is what a weighted draw is kept for, 0 for nothing.
func (ex *Exchange) draw(rt *config.Route, conversation uint64) uint64 {
	p := ex.principal
	switch rt.Sticky {
	case config.StickyUser:
		if ex.head.User != "" {
			return route.KeyOf(p.Tenant + "\x00user\x00" + ex.head.User)
		}
		return route.KeyOf(p.Tenant + "\x00key\x00" + p.Team + "\x00" + p.Key)
	case config.StickyKey:
		return route.KeyOf(p.Tenant + "\x00key\x00" + p.Team + "\x00" + p.Key)
	case config.StickyConversation:
		return conversation
	default:
		return 0
	}
}
