package cohere

import (
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// counts is what an answer says about its cost, in `usage` of chat and in `meta` of the other operations.
type counts struct {
	usage  chat.Usage
	billed chat.Billed
	cached int64
}

// read reads the object before the cursor. `tokens` are what the model read and wrote, and what limits go by; `billed_units`
// leave out what the vendor adds to a prompt, and are what is charged (D90). Where only one of them is there, it stands for both.
func (c *counts) read(s *strictjson.Scanner) {
	*c = counts{}
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "tokens":
			c.usage.Known, c.usage.Input, c.usage.Output, _ = readCounts(s)
		case "billed_units":
			c.billed.Known, c.billed.Input, c.billed.Output, c.billed.Units = readCounts(s)
		case "cached_tokens":
			c.cached = countOf(s)
		}
	}
	if !c.usage.Known && c.billed.Known {
		c.usage = chat.Usage{Known: true, Input: c.billed.Input, Output: c.billed.Output}
	}
	if c.usage.Known {
		c.usage.CacheRead = min(c.cached, c.usage.Input)
		c.usage.Input -= c.usage.CacheRead // disjoint classes (D84)
	}
}

func readCounts(s *strictjson.Scanner) (known bool, input, output int64, units float64) {
	if s.Kind() != strictjson.Object {
		return false, 0, 0, 0
	}
	for s.Enter(strictjson.Object); s.Next(); {
		number := s.Kind() == strictjson.Number
		switch string(s.Key()) {
		case "input_tokens":
			known = known || number
			input += countOf(s)
		case "image_tokens":
			input += countOf(s)
		case "output_tokens":
			known = known || number
			output = countOf(s)
		case "search_units":
			known = known || number
			if number {
				units = min(max(s.Float(), 0), maxCount)
			}
		}
	}
	return known, input, output, units
}

// maxCount bounds counts, so that sums of them stay far from overflow.
const maxCount = 1 << 48

// countOf is a number as a count: the schema's are floats, whole ones in practice.
func countOf(s *strictjson.Scanner) int64 {
	if s.Kind() != strictjson.Number {
		return 0
	}
	n := int64(0)
	for _, c := range s.Skip() {
		if c < '0' || c > '9' {
			return n // a fraction is cut; a negative count is 0
		}
		if n = n*10 + int64(c-'0'); n > maxCount {
			return maxCount
		}
	}
	return n
}

// appendUsage appends a `usage` object.
func appendUsage(b []byte, u *chat.Usage, billed *chat.Billed) []byte {
	in, out := u.Prompt(), u.Output
	if billed.Known {
		in, out = billed.Input, billed.Output
	}
	b = appendTokens(append(b, `{"billed_units":`...), in, out)
	b = appendTokens(append(b, `,"tokens":`...), u.Prompt(), u.Output)
	if u.CacheRead > 0 {
		b = strconv.AppendInt(append(b, `,"cached_tokens":`...), u.CacheRead, 10)
	}
	return append(b, '}')
}

func appendTokens(b []byte, input, output int64) []byte {
	b = strconv.AppendInt(append(b, `{"input_tokens":`...), input, 10)
	b = strconv.AppendInt(append(b, `,"output_tokens":`...), output, 10)
	return append(b, '}')
}
