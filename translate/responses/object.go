package responses

import (
	"bytes"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// object is a response object, taken apart: the body of a whole answer, or the `response` of an event. Its slices are JSON
// texts within what was read. A provider's slips (null for absent, a number where a string belongs) read as absent: an
// answer that is paid for must not be lost to them.
type object struct {
	id, model, status, reason []byte
	created                   int64
	output                    []byte // an array
	usage                     []byte // an object
	err                       []byte // anything but null
	tier                      []byte
}

// read takes apart what s stands before; false when it is no object, or no JSON.
func (o *object) read(s *strictjson.Scanner) bool {
	*o = object{}
	for s.Enter(strictjson.Object); s.Next(); {
		o.member(s)
	}
	return s.End() == nil
}

func (o *object) member(s *strictjson.Scanner) {
	switch string(s.Key()) {
	case "id":
		o.id = stringOf(s)
	case "model":
		o.model = stringOf(s)
	case "status":
		o.status = stringOf(s)
	case "created_at":
		o.created = countOf(s)
	case "service_tier":
		o.tier = stringOf(s)
	case "output":
		if s.Kind() == strictjson.Array {
			o.output = s.Skip()
		}
	case "usage":
		if s.Kind() == strictjson.Object {
			o.usage = s.Skip()
		}
	case "error":
		if s.Kind() != strictjson.Null {
			o.err = s.Skip()
		}
	case "incomplete_details":
		if s.Kind() == strictjson.Object {
			for s.Enter(strictjson.Object); s.Next(); {
				if string(s.Key()) == "reason" {
					o.reason = stringOf(s)
				}
			}
		}
	}
}

// whole takes a body apart. The fault is the error that a 200 may hold, or ProviderFailed for what is no answer.
func (o *object) whole(body []byte) *fault.Fault {
	s := strictjson.NewLenient(body)
	defer s.Release()
	ok := o.read(s)
	switch {
	case ok && o.err != nil:
		return embeddedFault(o.err)
	case !ok || o.output == nil:
		return notAnAnswer(body)
	}
	switch status := strictjson.Text(o.status); status {
	case statusFailed, statusInProgress, "queued", "cancelled":
		return fault.New(fault.ProviderFailed, "The provider answered with a response whose status is %s.", status)
	}
	return nil
}

// embeddedFault classifies the error object of an answer whose status was 200.
func embeddedFault(raw []byte) *fault.Fault {
	f := errorWords.DecodeFault(0, nil, raw)
	if strings.HasPrefix(f.Message, "The provider answered with status 0") { // it had no message
		f.Message = "The provider reported an error in its answer: " + wire.Clip(raw)
	}
	return f
}

// notAnAnswer describes a 2xx body that the schema does not know.
func notAnAnswer(body []byte) *fault.Fault {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return fault.New(fault.ProviderFailed, "The provider answered with an empty body.")
	case body[0] == '<':
		return fault.New(fault.ProviderFailed, "The provider answered with a web page and not with a response: %s", wire.Clip(body))
	case body[0] == '{' || body[0] == '[':
		return fault.New(fault.ProviderFailed, "The provider answered with what is no response: %s", wire.Clip(body))
	default:
		return fault.New(fault.ProviderFailed, "The provider answered with what is no JSON: %s", wire.Clip(body))
	}
}
