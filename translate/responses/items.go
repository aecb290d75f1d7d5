package responses

import (
	"strconv"
	"strings"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// idPrefix is what the ids of responses begin with.
const idPrefix = "resp_"

// ResponseID is the id of an answer: the provider's, where it is of this schema, else one made from the request's, which is
// unique. Ids of items are made from it, so that an answer streamed and the same answer whole have the same ones.
func ResponseID(provider string, o translate.Answer) string {
	if strings.HasPrefix(provider, idPrefix) {
		return provider
	}
	if base := plain(o.RequestID); base != "" {
		return idPrefix + base
	}
	return idPrefix + plain(provider)
}

// plain keeps what an id may consist of.
func plain(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, id)
}

// itemPrefix is what the id of an item begins with.
func itemPrefix(kind chat.PartKind) string {
	switch kind {
	case chat.ToolCall:
		return "fc_"
	case chat.Thinking, chat.RedactedThinking:
		return foreignID
	case chat.Image:
		return "ig_"
	default:
		return "msg_"
	}
}

// itemID is the id of an answer's nth item.
func itemID(response string, kind chat.PartKind, n int) string {
	return itemPrefix(kind) + strings.TrimPrefix(response, idPrefix) + "_" + strconv.Itoa(n)
}

// appendOutputText appends a text part of an answer. probs are elements of its log probabilities.
func appendOutputText(dst []byte, text string, cited []chat.Citation, probs []byte) []byte {
	dst = append(dst, `{"type":"output_text","annotations":`...)
	dst = appendAnnotations(dst, text, cited)
	dst = append(append(append(dst, `,"logprobs":[`...), probs...), ']')
	return append(strictjson.AppendString(append(dst, `,"text":`...), text), '}')
}

func appendRefusal(dst []byte, text string) []byte {
	return append(strictjson.AppendString(append(dst, `{"type":"refusal","refusal":`...), text), '}')
}

// appendMessageHead appends a message item up to its content's first part.
func appendMessageHead(dst []byte, id, status string) []byte {
	dst = strictjson.AppendString(append(dst, `{"type":"message","id":`...), id)
	dst = append(append(append(dst, `,"status":"`...), status...), `","role":"assistant","content":[`...)
	return dst
}

// appendCallItem appends a function_call item.
func appendCallItem(dst []byte, id, status string, c *chat.Call, arguments string) []byte {
	dst = strictjson.AppendString(append(dst, `{"type":"function_call","id":`...), id)
	dst = append(append(append(dst, `,"status":"`...), status...), '"')
	dst = strictjson.AppendString(append(dst, `,"call_id":`...), c.ID)
	dst = strictjson.AppendString(append(dst, `,"name":`...), c.Name)
	return append(strictjson.AppendString(append(dst, `,"arguments":`...), arguments), '}')
}

func appendReasoningItem(dst []byte, p *chat.Part, id string) []byte {
	return append(appendReasoning(append(dst, `{"type":"reasoning"`...), p, id), '}')
}

// drawn says whether a part is an image that a model made. Its item is that of the schema's own tool for images, the one place that
// clients look for images in. A URL alone has no place there.
func drawn(p *chat.Part) bool { return p.Kind == chat.Image && p.Media != nil && p.Media.Data != "" }

// appendImageItem appends an image_generation_call item; m is nil while it is in progress.
func appendImageItem(dst []byte, id, status string, m *chat.Media) []byte {
	dst = strictjson.AppendString(append(dst, `{"type":"`+imageItem+`","id":`...), id)
	dst = append(append(append(dst, `,"status":"`...), status...), `","result":`...)
	if m == nil {
		return append(dst, `null}`...)
	}
	dst = strictjson.AppendString(dst, m.Data)
	if format := strings.TrimPrefix(m.Type, "image/"); format != m.Type {
		dst = strictjson.AppendString(append(dst, `,"output_format":`...), format)
	}
	return append(dst, '}')
}

// appendOutput appends an answer's items. Texts and refusals that follow each other are one message.
func appendOutput(dst []byte, response string, c *chat.Choice, status string) []byte {
	probs := probElements(c.LogProbs)
	n := 0
	for i := 0; i < len(c.Parts); i++ {
		p := &c.Parts[i]
		if n > 0 {
			dst = append(dst, ',')
		}
		id := itemID(response, p.Kind, n)
		switch {
		case p.Kind == chat.ToolCall && p.Call != nil:
			dst = appendCallItem(dst, id, statusCompleted, p.Call, orObject(p.Call.Arguments))
		case p.Kind == chat.Thinking || p.Kind == chat.RedactedThinking:
			dst = appendReasoningItem(dst, p, reasoningID(p, id))
		case drawn(p):
			dst = appendImageItem(dst, id, statusCompleted, p.Media)
		case spoken(p):
			dst = appendMessageHead(dst, id, status)
			for first := true; i < len(c.Parts) && spoken(&c.Parts[i]); i++ {
				if !first {
					dst = append(dst, ',')
				}
				first = false
				if p = &c.Parts[i]; p.Kind == chat.Refusal {
					dst = appendRefusal(dst, p.Text)
					continue
				}
				dst = appendOutputText(dst, p.Text, p.Citations, probs)
				probs = nil
			}
			i--
			dst = append(dst, ']', '}')
		default:
			if n > 0 {
				dst = dst[:len(dst)-1]
			}
			continue
		}
		n++
	}
	return dst
}

func spoken(p *chat.Part) bool { return p.Kind == chat.Text || p.Kind == chat.Refusal }
