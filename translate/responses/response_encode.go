package responses

import (
	"strconv"
	"time"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// EncodeResponse writes a whole answer: the first choice, as the schema has no others. It repeats the request's settings
// from o.Head.
func (Codec) EncodeResponse(r *chat.Response, o translate.Answer) ([]byte, error) {
	var c chat.Choice
	if len(r.Choices) > 0 {
		c = r.Choices[0]
	}
	w := responseWriter{id: ResponseID(r.ID, o), model: r.Model, created: r.Created, o: o}
	w.complete()
	end := endingOf(c.Finish)
	b := make([]byte, 0, sizeOfAnswer(&c, o.Head))
	b = w.head(b, end.status, end.reason, completedAt(end.status, o))
	b = appendOutput(b, w.id, &c, end.status)
	for i := range r.Extra {
		if x := &r.Extra[i]; x.Name == "output[]" {
			if b[len(b)-1] != '[' {
				b = append(b, ',')
			}
			b = append(b, x.JSON...)
		}
	}
	return w.tail(b, r.Usage, end, c.RawFinish), nil
}

func sizeOfAnswer(c *chat.Choice, h *chat.Head) int {
	n := 1280
	for i := range c.Parts {
		n += 160 + 2*c.Parts[i].Size()
	}
	if h != nil {
		n += len(h.Field("tools")) + len(h.Field(instructionsMember))
	}
	return n
}

// responseWriter writes response objects of one answer.
type responseWriter struct {
	id, model string
	created   int64
	o         translate.Answer
	settings  []byte // written once for all of an answer's objects
}

// complete fills in what the provider did not say: the model (D131) and the time (D136).
func (w *responseWriter) complete() {
	if w.model == "" {
		w.model = w.o.Model
	}
	if w.created == 0 {
		w.created = unix(w.o.Now)
	}
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// completedAt is the time that a completed answer shows, 0 for any other.
func completedAt(status string, o translate.Answer) int64 {
	if status != statusCompleted {
		return 0
	}
	return unix(o.Now)
}

// head appends a response object up to its output's first item.
func (w *responseWriter) head(dst []byte, status, reason string, completed int64) []byte {
	dst = strictjson.AppendString(append(dst, `{"id":`...), w.id)
	dst = strconv.AppendInt(append(dst, `,"object":"response","created_at":`...), w.created, 10)
	dst = append(append(append(dst, `,"status":"`...), status...), '"')
	if completed > 0 {
		dst = strconv.AppendInt(append(dst, `,"completed_at":`...), completed, 10)
	}
	if reason == "" {
		dst = append(dst, `,"incomplete_details":null`...)
	} else {
		dst = append(append(append(dst, `,"incomplete_details":{"reason":"`...), reason...), `"}`...)
	}
	dst = strictjson.AppendString(append(dst, `,"model":`...), w.model)
	return append(dst, `,"output":[`...)
}

// tail ends a response object behind its output's last item.
func (w *responseWriter) tail(dst []byte, u chat.Usage, end ending, raw string) []byte {
	dst = append(dst, `],"error":null`...)
	if end.native && raw != "" && raw != end.status && raw != end.reason {
		dst = strictjson.AppendString(append(dst, `,"native_finish_reason":`...), raw)
	}
	dst = appendUsage(append(dst, `,"usage":`...), u)
	return append(w.repeat(dst), '}')
}

// repeat appends the request's settings.
func (w *responseWriter) repeat(dst []byte) []byte {
	if w.settings == nil {
		w.settings = appendSettings(nil, w.o.Head)
	}
	return append(dst, w.settings...)
}
