package openai

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// said is what an error body says.
type said struct {
	message, kind, code, param string
	raw                        string // what a provider behind the provider said (OpenRouter)
}

// DecodeFault classifies a non-2xx answer. The message is the provider's own, cut to 300 characters and without what looks
// like a credential: OpenAI's 401 repeats part of the key.
func (Codec) DecodeFault(status int, header func(string) string, body []byte) *fault.Fault {
	e := readError(body)
	f := &fault.Fault{Kind: classify(status, &e), Param: e.param, Code: e.code, Status: status, Type: e.kind}
	if f.Message = e.text(); f.Message == "" {
		f.Message = unreadable(status, body)
	}
	if f.RetryAfter = wire.RetryAfter(header, now(header)); f.RetryAfter == 0 {
		f.RetryAfter = wire.RetryIn(e.message)
	}
	return f
}

// now is the provider's clock where it shows it: an HTTP date is meant by that, and ours may differ.
func now(header func(string) string) time.Time {
	if header != nil {
		if t, err := http.ParseTime(header("date")); err == nil {
			return t
		}
	}
	return time.Now()
}

// unreadable describes an error without a message of the schema.
func unreadable(status int, body []byte) string {
	body = bytes.TrimSpace(body)
	text := wire.Clip(body)
	prefix := "The provider answered with status " + strconv.Itoa(status)
	switch {
	case text == "":
		return prefix + " and no explanation."
	case body[0] == '<':
		return prefix + " and a web page: " + text
	default:
		return prefix + ": " + text
	}
}

// embeddedFault classifies the error object of an answer whose status was 200. Some providers give the status as its code.
func embeddedFault(raw []byte) *fault.Fault {
	e := readError(raw)
	status, err := strconv.Atoi(e.code)
	if err != nil || status < 400 || status > 599 {
		status = 0
	}
	f := &fault.Fault{Kind: classify(status, &e), Message: e.text(), Param: e.param, Code: e.code, Status: status, Type: e.kind}
	if f.Message == "" {
		f.Message = "The provider reported an error in its answer: " + wire.Clip(raw)
	}
	return f
}

// readError reads an error body of any of the shapes that servers of this schema send: {"error":{…}}, {"error":"…"}, the
// same in an array (D122), the error object alone, {"detail":…} of Python servers, {"errors":[…]}. The body may be cut:
// what stands before the cut counts.
func readError(body []byte) said {
	var e said
	s := strictjson.NewLenient(bytes.ToValidUTF8(body, []byte("\uFFFD")))
	defer s.Release()
	e.read(s, 0)
	e.message, e.kind = wire.ClipText(e.message), wire.ClipText(e.kind)
	e.code, e.param, e.raw = wire.ClipText(e.code), wire.ClipText(e.param), wire.ClipText(e.raw)
	return e
}

// text is what is shown: with what the provider behind the provider said, for the other's own words tell nothing.
func (e *said) text() string {
	if e.raw == "" || e.message == "" {
		return e.message
	}
	return wire.ClipText(e.message + ": " + e.raw)
}

// maxNesting is how deep an error object may be wrapped.
const maxNesting = 4

func (e *said) read(s *strictjson.Scanner, depth int) {
	switch {
	case depth > maxNesting:
		s.Skip()
	case s.Kind() == strictjson.String && depth > 0:
		e.message = first(e.message, strings.Clone(s.String()))
	case s.Kind() == strictjson.Array:
		for s.Enter(strictjson.Array); s.Next(); {
			if s.Index() == 0 {
				e.read(s, depth+1)
			}
		}
	case s.Kind() == strictjson.Object:
		for s.Enter(strictjson.Object); s.Next(); {
			e.member(s, depth)
		}
	}
}

func (e *said) member(s *strictjson.Scanner, depth int) {
	switch string(s.Key()) {
	case "error", "errors", "detail":
		e.read(s, depth+1)
	case "message", "msg":
		if k := s.Kind(); k == strictjson.Object || k == strictjson.Array { // {"message":{"detail":[…]}} of Mistral
			e.read(s, depth+1)
			return
		}
		e.message = first(e.message, scalar(s))
	case "metadata":
		e.metadata(s)
	case "type":
		e.kind = first(e.kind, scalar(s))
	case "code":
		e.code = first(e.code, scalar(s))
	case "param":
		e.param = first(e.param, scalar(s))
	}
}

// metadata reads error.metadata.raw, which is a text or another provider's error body.
func (e *said) metadata(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) != "raw" {
			continue
		}
		if e.raw = scalar(s); e.raw == "" {
			e.raw = string(s.Skip())
		}
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// scalar is a string, or a number's digits.
func scalar(s *strictjson.Scanner) string {
	switch s.Kind() {
	case strictjson.String:
		return strings.Clone(s.String())
	case strictjson.Number:
		return string(s.Skip())
	default:
		return ""
	}
}
