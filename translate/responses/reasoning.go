package responses

import (
	"bytes"
	"strings"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Thinking and its signatures (D74, D78). A reasoning item of an OpenAI model carries its opaque content under its own id,
// and neither is of use without the other: together they are the signature, <id>:<encrypted_content>, marked as made by a
// provider of this schema. What other models made travels to the client in items whose id and encrypted_content begin with
// the marks below, and is known by them when it comes back.
const (
	foreignID       = "rs_dragoman_"
	foreignThinking = "dragoman.thinking:"
	foreignRedacted = "dragoman.redacted:"

	ownThinkingMember = "input[].thinking"
)

// signatureOf is the neutral signature of a reasoning item; "" when nobody can use the item again.
func signatureOf(id, encrypted string) (kind chat.PartKind, signature string) {
	if rest, ok := strings.CutPrefix(encrypted, foreignThinking); ok {
		return chat.Thinking, rest
	}
	if rest, ok := strings.CutPrefix(encrypted, foreignRedacted); ok {
		return chat.RedactedThinking, rest
	}
	if encrypted == "" {
		return chat.Thinking, ""
	}
	return chat.Thinking, chat.Sign(chat.Responses, id+":"+encrypted)
}

// ownSignature takes a signature of this schema's providers apart.
func ownSignature(signature string) (id, encrypted string, ok bool) {
	own, ok := chat.SignedBy(chat.Responses, signature)
	if !ok {
		return "", "", false
	}
	return strings.Cut(own, ":")
}

// encryptedFor is the encrypted_content by which a client's item with this id carries a signature. A signature of this
// schema's own providers is bound to the id of their item; under any other id it travels marked, as a foreign one does.
func encryptedFor(p *chat.Part, id string) string {
	own, encrypted, ok := ownSignature(p.Signature)
	switch {
	case p.Signature == "":
		return ""
	case ok && own == id:
		return encrypted
	case p.Kind == chat.RedactedThinking:
		return foreignRedacted + p.Signature
	default:
		return foreignThinking + p.Signature
	}
}

// reasoningID is the id of a client's reasoning item: the provider's, where it is of this schema.
func reasoningID(p *chat.Part, made string) string {
	if own, _, ok := ownSignature(p.Signature); ok {
		return own
	}
	return made
}

// appendReasoning appends the members of a reasoning item behind its type: id, summary and encrypted_content.
func appendReasoning(dst []byte, p *chat.Part, id string) []byte {
	dst = strictjson.AppendString(append(dst, `,"id":`...), id)
	dst = append(dst, `,"summary":[`...)
	if p.Text != "" && p.Kind != chat.RedactedThinking {
		dst = append(strictjson.AppendString(append(dst, `{"type":"summary_text","text":`...), p.Text), '}')
	}
	dst = append(dst, ']')
	if encrypted := encryptedFor(p, id); encrypted != "" {
		dst = strictjson.AppendString(append(dst, `,"encrypted_content":`...), encrypted)
	}
	return dst
}

// withoutForeign is the request's input without the reasoning items that no provider of this schema made, and with those in
// their own form that one did make; found is false, and nothing was written, when there are none. A body without the mark
// costs one search.
func withoutForeign(h *chat.Head) (input []byte, found bool) {
	if !bytes.Contains(h.Body, []byte(foreignID)) {
		return nil, false
	}
	old := h.Field(inputMember)
	if len(old) == 0 || old[0] != '[' {
		return nil, false
	}
	input = append(make([]byte, 0, len(old)), '[')
	s := strictjson.NewLenient(old)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		raw := s.Skip()
		if p, foreign := foreignItem(raw); foreign {
			found = true
			id, _, own := ownSignature(p.Signature)
			if !own {
				continue
			}
			raw = append(appendReasoning([]byte(`{"type":"reasoning"`), &p, id), '}')
		}
		if len(input) > 1 {
			input = append(input, ',')
		}
		input = append(input, raw...)
	}
	return append(input, ']'), found
}

// foreignItem reads an item if it is one of those that this codec made for a client. A reference to one has no signature.
func foreignItem(item []byte) (p chat.Part, foreign bool) {
	d := decoder{Scanner: strictjson.NewLenient(item), req: &chat.Request{}}
	defer d.Release()
	var it rawItem
	for d.Enter(strictjson.Object); d.Next(); {
		if d.Kind() != strictjson.Null {
			d.itemMember(&it, "")
		}
	}
	if !strings.HasPrefix(it.id, foreignID) || it.kind != reasoningItem && it.kind != referenceItem && it.kind != "" {
		return p, false
	}
	p, _ = reasoningPart(it.id, it.encrypted, it.summary, it.content)
	return p, true
}
