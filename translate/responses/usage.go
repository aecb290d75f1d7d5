package responses

import (
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// readUsage makes disjoint classes of a usage object, whose input_tokens include what was read from and written to the
// prompt cache, and whose output_tokens include reasoning (D84, D88). A usage without either count says nothing (D91).
func readUsage(raw []byte) (u chat.Usage) {
	if raw == nil {
		return u
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	var prompt int64
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "input_tokens":
			u.Known = u.Known || s.Kind() == strictjson.Number
			prompt = countOf(s)
		case "output_tokens":
			u.Known = u.Known || s.Kind() == strictjson.Number
			u.Output = countOf(s)
		case "input_tokens_details", "output_tokens_details":
			readDetails(s, &u)
		}
	}
	if !u.Known {
		return chat.Usage{}
	}
	u.CacheRead = min(u.CacheRead, prompt)
	u.CacheWrite = min(u.CacheWrite, prompt-u.CacheRead)
	u.Input = prompt - u.CacheRead - u.CacheWrite
	u.Reasoning = min(u.Reasoning, u.Output)
	return u
}

func readDetails(s *strictjson.Scanner, u *chat.Usage) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "cached_tokens":
			u.CacheRead = countOf(s)
		case "cache_write_tokens":
			u.CacheWrite = countOf(s)
		case "reasoning_tokens":
			u.Reasoning = countOf(s)
		}
	}
}

// appendUsage writes a usage object (D85), null where nothing is known.
func appendUsage(dst []byte, u chat.Usage) []byte {
	if !u.Known {
		return append(dst, "null"...)
	}
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), u.Prompt(), 10)
	dst = strconv.AppendInt(append(dst, `,"input_tokens_details":{"cached_tokens":`...), u.CacheRead, 10)
	dst = strconv.AppendInt(append(dst, `,"cache_write_tokens":`...), u.CacheWrite+u.CacheWrite1h, 10) // D89
	dst = strconv.AppendInt(append(dst, `},"output_tokens":`...), u.Output, 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens_details":{"reasoning_tokens":`...), u.Reasoning, 10)
	dst = strconv.AppendInt(append(dst, `},"total_tokens":`...), u.Total(), 10)
	return append(dst, '}')
}

// stringOf is the JSON text of a string with its quotes, nil for an empty string and any other value.
func stringOf(s *strictjson.Scanner) []byte {
	if s.Kind() != strictjson.String {
		return nil
	}
	if raw := s.RawString(); len(raw) > len(`""`) {
		return raw
	}
	return nil
}

// maxCount bounds counts, so that sums of them stay far from overflow.
const maxCount = 1 << 48

// countOf is a number as a count: not below zero, and far from overflow. created_at may have a fraction, which is cut.
func countOf(s *strictjson.Scanner) int64 {
	if s.Kind() != strictjson.Number {
		return 0
	}
	n := int64(0)
	for _, c := range s.Skip() {
		if c < '0' || c > '9' {
			return n
		}
		if n = n*10 + int64(c-'0'); n > maxCount {
			return maxCount
		}
	}
	return n
}
