package openai

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// EncodeResponse writes a whole answer. Parts go to the members that the schema has for them, texts of one kind joined.
func (Codec) EncodeResponse(r *chat.Response, o translate.Answer) ([]byte, error) {
	b := make([]byte, 0, sizeOfAnswer(r))
	b = append(b, '{')
	b = appendIdentity(b, "chat.completion", r.ID, r.Model, r.Created, o)
	b = append(b, `,"choices":[`...)
	for i := range r.Choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendChoice(b, &r.Choices[i], i)
	}
	b = append(b, ']')
	if r.Usage.Known {
		b = appendUsage(append(b, `,"usage":`...), r.Usage)
	}
	for i := range r.Extra {
		if x := &r.Extra[i]; ownMembers[x.Name] {
			b = append(strictjson.AppendString(append(b, ','), x.Name), ':')
			b = append(b, x.JSON...)
		}
	}
	return append(b, '}'), nil
}

// ownMembers are the members of an answer that only this schema has: an answer of it that was kept gets them back.
var ownMembers = map[string]bool{"service_tier": true, "system_fingerprint": true}

func sizeOfAnswer(r *chat.Response) int {
	n := 512
	for i := range r.Choices {
		n += 256 + len(r.Choices[i].LogProbs)
		for j := range r.Choices[i].Parts {
			n += 2 * r.Choices[i].Parts[j].Size()
		}
	}
	return n
}

// appendIdentity appends the members that every object of an answer begins with. The id is the provider's where it gave
// one, the model the served one (D131), the time the gateway's where the schema of the provider has none (D136).
func appendIdentity(b []byte, object, id, model string, created int64, o translate.Answer) []byte {
	if id == "" {
		id = "chatcmpl-" + o.RequestID
	}
	if model == "" {
		model = o.Model
	}
	if created == 0 {
		created = unix(o.Now)
	}
	b = strictjson.AppendString(append(b, `"id":`...), id)
	b = append(append(append(b, `,"object":"`...), object...), '"')
	b = strconv.AppendInt(append(b, `,"created":`...), created, 10)
	return strictjson.AppendString(append(b, `,"model":`...), model)
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func appendChoice(b []byte, c *chat.Choice, index int) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), int64(index), 10)
	b = append(b, `,"message":{"role":"assistant","content":`...)
	b = appendJoined(b, c.Parts, chat.Text)
	b = append(b, `,"refusal":`...)
	b = appendJoined(b, c.Parts, chat.Refusal)
	if has(c.Parts, chat.Thinking) {
		b = appendJoined(append(b, `,"reasoning_content":`...), c.Parts, chat.Thinking)
	}
	b = appendBlocks(b, c.Parts)
	b = appendAnnotations(b, c.Parts)
	b = appendImages(b, c.Parts)
	b = appendCalls(b, c.Parts)
	b = append(b, `},"logprobs":`...)
	if c.LogProbs != nil {
		b = append(b, c.LogProbs...)
	} else {
		b = append(b, "null"...)
	}
	b = appendFinish(b, c.Finish, c.RawFinish, c.StopSequence)
	return append(b, '}')
}

func has(parts []chat.Part, kind chat.PartKind) bool {
	for i := range parts {
		if parts[i].Kind == kind {
			return true
		}
	}
	return false
}

// appendJoined appends the texts of a kind as one string (D134), null when there is none.
func appendJoined(b []byte, parts []chat.Part, kind chat.PartKind) []byte {
	var joined strings.Builder
	only, count := "", 0
	for i := range parts {
		if parts[i].Kind == kind {
			if count++; count == 1 {
				only = parts[i].Text
				continue
			}
			if count == 2 {
				joined.WriteString(only)
			}
			joined.WriteString(parts[i].Text)
		}
	}
	if count > 1 {
		only = joined.String()
	}
	if count == 0 || only == "" && has(parts, chat.ToolCall) {
		return append(b, "null"...)
	}
	return strictjson.AppendString(b, only)
}

// appendAnnotations appends what the text rests on (D134): as it came in this schema, else made of the citations.
func appendAnnotations(b []byte, parts []chat.Part) []byte {
	for i := range parts {
		for j := range parts[i].Extra {
			if x := &parts[i].Extra[j]; x.Name == annotationsMember && parts[i].Kind == chat.Text {
				return append(append(b, `,"annotations":`...), x.JSON...)
			}
		}
	}
	sep, before := `,"annotations":[`, 0
	for i := range parts {
		p := &parts[i]
		if p.Kind != chat.Text {
			continue
		}
		if hasURL(p.Citations) {
			b = appendCitations(append(b, sep...), p.Citations, p.Text, before)
			sep = ","
		}
		before += utf8.RuneCountInString(p.Text)
	}
	if sep == "," {
		b = append(b, ']')
	}
	return b
}

// appendBlocks appends the thinking as its provider wants it back (D74): only signed or redacted blocks are of use.
func appendBlocks(b []byte, parts []chat.Part) []byte {
	first := true
	for i := range parts {
		p := &parts[i]
		if p.Signature == "" || p.Kind != chat.Thinking && p.Kind != chat.RedactedThinking {
			continue
		}
		if first {
			b = append(b, `,"thinking_blocks":[`...)
		} else {
			b = append(b, ',')
		}
		first = false
		b = appendBlock(b, p.Kind, p.Text, p.Signature)
	}
	if !first {
		b = append(b, ']')
	}
	return b
}

func appendBlock(b []byte, kind chat.PartKind, text, signature string) []byte {
	if kind == chat.RedactedThinking {
		b = strictjson.AppendString(append(b, `{"type":"redacted_thinking","data":`...), signature)
		return append(b, '}')
	}
	b = strictjson.AppendString(append(b, `{"type":"thinking","thinking":`...), text)
	b = strictjson.AppendString(append(b, `,"signature":`...), signature)
	return append(b, '}')
}

func appendCalls(b []byte, parts []chat.Part) []byte {
	first := true
	for i := range parts {
		if parts[i].Kind != chat.ToolCall || parts[i].Call == nil {
			continue
		}
		if first {
			b = append(b, `,"tool_calls":[`...)
		} else {
			b = append(b, ',')
		}
		first = false
		c := parts[i].Call
		b = appendCall(b, c.ID, c.Name, c.Arguments)
		signature := parts[i].Signature
		if signature == "" && i > 0 {
			signature = callSignature(&parts[i-1])
		}
		b = append(appendCallSignature(b, signature), '}')
	}
	if !first {
		b = append(b, ']')
	}
	return b
}

// callSignature is the signature of a call in the part before it, where Gemini's codec has it: signed thinking without text.
func callSignature(before *chat.Part) string {
	if before.Kind == chat.Thinking && before.Text == "" {
		return before.Signature
	}
	return ""
}

// appendCallSignature appends what Gemini signed a call with, where Google's own endpoint for OpenAI clients has it (D79).
// Such clients send a call back as they got it.
func appendCallSignature(b []byte, signature string) []byte {
	own, ok := chat.SignedBy(chat.Gemini, signature)
	if !ok {
		return b
	}
	b = append(b, `,"extra_content":{"google":{"thought_signature":`...)
	return append(strictjson.AppendString(b, own), `}}`...)
}
