package cohere

import (
	"bytes"
	"strconv"

	"dragoman/translate/strictjson"
)

// readLogProbs makes the neutral form, OpenAI's object, of a list of {text, token_ids, logprobs} or of a single element
// (D57). Nil when there is none.
func readLogProbs(raw []byte) []byte {
	if len(raw) == 0 {
		return nil
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	b := append(make([]byte, 0, 64+2*len(raw)), `{"content":[`...)
	from := len(b)
	if s.Kind() == strictjson.Object {
		b = readLogProb(s, b, from)
	} else {
		for s.Enter(strictjson.Array); s.Next(); {
			if s.Kind() == strictjson.Object {
				b = readLogProb(s, b, from)
			}
		}
	}
	if len(b) == from {
		return nil
	}
	return append(b, `],"refusal":null}`...)
}

// readLogProb appends one element. A piece of several tokens has one probability: the product of theirs.
func readLogProb(s *strictjson.Scanner, b []byte, from int) []byte {
	var text []byte
	sum, some := 0.0, false
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "text":
			text = stringOf(s)
		case "logprobs":
			if s.Kind() != strictjson.Array {
				continue
			}
			for s.Enter(strictjson.Array); s.Next(); {
				if s.Kind() == strictjson.Number {
					sum += s.Float()
					some = true
				}
			}
		}
	}
	if !some || text == nil || s.Err() != nil || sum > 0 || sum < -1e6 {
		return b
	}
	if len(b) > from {
		b = append(b, ',')
	}
	b = append(append(b, `{"token":`...), text...)
	b = strconv.AppendFloat(append(b, `,"logprob":`...), sum, 'g', -1, 64)
	return append(b, `,"bytes":null,"top_logprobs":[]}`...)
}

// appendLogProbs appends the elements that OpenAI's object makes, separated by commas. Its numbers of tokens are unknown:
// token_ids, which the schema requires, is empty.
func appendLogProbs(b, object []byte) []byte {
	if bytes.IndexByte(object, '[') < 0 {
		return b
	}
	s := strictjson.NewLenient(object)
	defer s.Release()
	from := len(b)
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) != "content" || s.Kind() != strictjson.Array {
			continue
		}
		for s.Enter(strictjson.Array); s.Next(); {
			if s.Kind() == strictjson.Object {
				b = appendLogProb(s, b, from)
			}
		}
	}
	return b
}

func appendLogProb(s *strictjson.Scanner, b []byte, from int) []byte {
	token, value := tokenOf(s)
	if token == nil || value == nil {
		return b
	}
	if len(b) > from {
		b = append(b, ',')
	}
	b = append(append(b, `{"text":`...), token...)
	b = append(append(b, `,"token_ids":[],"logprobs":[`...), value...)
	return append(b, ']', '}')
}

// tokenOf reads one element of OpenAI's object.
func tokenOf(s *strictjson.Scanner) (token, value []byte) {
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "token":
			token = stringOf(s)
		case "logprob":
			if s.Kind() == strictjson.Number {
				value = s.Skip()
			}
		}
	}
	return token, value
}

// appendEventLogProbs appends the one element that an event has a place for: all tokens of the piece as one text.
func appendEventLogProbs(dst, object []byte) []byte {
	if object == nil {
		return dst
	}
	s := strictjson.NewLenient(object)
	defer s.Release()
	var text, values []byte
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) != "content" || s.Kind() != strictjson.Array {
			continue
		}
		for s.Enter(strictjson.Array); s.Next(); {
			if s.Kind() != strictjson.Object {
				continue
			}
			if token, value := tokenOf(s); token != nil && value != nil {
				text = strictjson.AppendText(text, token)
				values = append(append(values, ','), value...)
			}
		}
	}
	if values == nil {
		return dst
	}
	dst = strictjson.AppendString(append(dst, `,"logprobs":{"text":`...), view(text))
	dst = append(append(dst, `,"token_ids":[],"logprobs":[`...), values[1:]...)
	return append(dst, ']', '}')
}
