package fakeprovider

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
)

// ask is what an accepted request asks for, in no vendor's terms.
type ask struct {
	model        string
	stream       bool
	includeUsage bool
	text         string // of the last user message
	words        int64  // of the whole prompt: what its tokens are counted by
	tools        []askTool
	choice       string // auto, none, required, named
	named        string
	parallel     bool // may call several tools at once
	results      []askResult
	format       map[string]any // JSON Schema that the text must follow, nil: free text
	jsonObject   bool           // any JSON object
	thinking     bool
	hideThinking bool // Anthropic display: omitted
	maxTokens    int64
	stops        []string
	n            int
	logprobs     bool
	request      map[string]any        // Responses: the request, its whole conversation as its input
	body         func(answerID) []byte // of an operation beside chat: its whole answer
	wantsStop    bool                  // Bedrock: to be told which stop sequence matched
	vertex       bool                  // Gemini: asked of Vertex AI
}

type askTool struct {
	name   string
	schema map[string]any
}

// askResult is a tool's answer in the last turn.
type askResult struct {
	id, text string
	isError  bool
}

// defaultReply follows from the request alone, so that a client in another process can be tested without a script:
//
//   - results of tool calls in the last turn are summed up: `results: ID=text; …`;
//   - a tool whose name stands in the last user text is called, once for each time it stands there, with the JSON that
//     follows in parentheses (`get_weather({"city":"Paris"})`) or else arguments made from its schema; a forced choice calls
//     a tool in any case;
//   - a wanted format is answered with a value made from its schema;
//   - anything else is echoed: `echo: ` and the last user text.
//
// Thinking comes first where it was asked for. The text ends at a stop sequence or when max tokens (words here) are spent.
func (q *ask) defaultReply() *Reply {
	r := &Reply{}
	if q.thinking {
		r.Blocks = append(r.Blocks, Block{Kind: ThinkingBlock, Text: "The user says: " + q.text})
	}
	if calls := q.calls(); len(calls) > 0 {
		r.Blocks = append(r.Blocks, calls...)
		return r
	}
	r.Blocks = append(r.Blocks, Block{Kind: TextBlock, Text: q.say()})
	q.truncate(r)
	return r
}

func (q *ask) say() string {
	switch {
	case len(q.results) > 0:
		var parts []string
		for _, res := range q.results {
			state := ""
			if res.isError {
				state = " (error)"
			}
			parts = append(parts, res.id+"="+res.text+state)
		}
		return "results: " + strings.Join(parts, "; ")
	case q.format != nil:
		return string(mustJSON(sample(q.format, 0)))
	case q.jsonObject:
		return string(mustJSON(map[string]any{"echo": q.text}))
	}
	return "echo: " + q.text
}

// calls are the tool calls that the default reply makes.
func (q *ask) calls() []Block {
	if len(q.tools) == 0 || q.choice == "none" || len(q.results) > 0 {
		return nil
	}
	type place struct {
		at   int
		call Block
	}
	var found []place
	for _, t := range q.tools {
		if q.choice == "named" && t.name != q.named {
			continue
		}
		for _, at := range mentions(q.text, t.name) {
			found = append(found, place{at, Call(t.name, argsFor(q.text[at+len(t.name):], t.schema))})
		}
		if q.choice == "named" && len(found) == 0 {
			found = append(found, place{0, Call(t.name, argsFor("", t.schema))})
		}
	}
	if q.choice == "required" && len(found) == 0 {
		found = append(found, place{0, Call(q.tools[0].name, argsFor("", q.tools[0].schema))})
	}
	slices.SortStableFunc(found, func(a, b place) int { return a.at - b.at })
	if !q.parallel && len(found) > 1 {
		found = found[:1]
	}
	calls := make([]Block, len(found))
	for i, f := range found {
		calls[i] = f.call
	}
	return calls
}

// mentions finds name as a whole word.
func mentions(text, name string) []int {
	var at []int
	for from := 0; ; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return at
		}
		i += from
		end := i + len(name)
		if (i == 0 || !wordByte(text[i-1])) && (end == len(text) || !wordByte(text[end])) {
			at = append(at, i)
		}
		from = end
	}
}

func wordByte(b byte) bool {
	return b == '_' || b == '-' || unicode.IsLetter(rune(b)) || unicode.IsDigit(rune(b))
}

func argsFor(after string, schema map[string]any) string {
	if rest, ok := strings.CutPrefix(after, "("); ok {
		var raw json.RawMessage
		if json.NewDecoder(strings.NewReader(rest)).Decode(&raw) == nil && len(raw) > 0 && raw[0] == '{' {
			return string(raw)
		}
	}
	if schema == nil {
		return "{}"
	}
	value, ok := sample(schema, 0).(map[string]any)
	if !ok {
		return "{}"
	}
	return string(mustJSON(value))
}

// truncate ends the text at a stop sequence, or at max tokens.
func (q *ask) truncate(r *Reply) {
	b := &r.Blocks[len(r.Blocks)-1]
	cut, which := len(b.Text), ""
	for _, s := range q.stops {
		if i := strings.Index(b.Text, s); s != "" && i >= 0 && i < cut {
			cut, which = i, s
		}
	}
	b.Text = b.Text[:cut]
	r.StopSequence = which
	if q.maxTokens <= 0 {
		return
	}
	if head, over := firstWords(b.Text, q.maxTokens); over {
		b.Text, r.StopSequence, r.Finish = head, "", finishLength
	}
}

// finishLength stands for each vendor's own word until complete has put it in.
const finishLength = "\x00length"

// firstWords is s up to its nth word, and whether there were more.
func firstWords(s string, n int64) (string, bool) {
	inWord := false
	for i, r := range s {
		space := unicode.IsSpace(r)
		if !space && !inWord {
			if n == 0 {
				return strings.TrimRightFunc(s[:i], unicode.IsSpace), true
			}
			n--
		}
		inWord = !space
	}
	return s, false
}

// complete fills in what a script left out. The result is a copy.
func (q *ask) complete(r *Reply) *Reply {
	c := *r
	if c.Model == "" {
		c.Model = q.model
	}
	if c.Chunks <= 0 {
		c.Chunks = 4
	}
	if c.Usage == nil {
		u := Usage{Input: max(q.words, 1)}
		for _, b := range c.Blocks {
			n := countWords(b.Text) + countWords(b.Args)
			if b.Kind == ToolBlock {
				n += 2
			}
			if b.Kind == ThinkingBlock || b.Kind == RedactedBlock {
				u.Reasoning += max(n, 1)
			}
			u.Output += max(n, 1)
		}
		c.Usage = &u
	}
	return &c
}

func (r *Reply) has(k BlockKind) bool {
	return slices.ContainsFunc(r.Blocks, func(b Block) bool { return b.Kind == k })
}

func countWords(s string) int64 { return int64(len(strings.Fields(s))) }

// promptWords counts the words of every string in a request's part.
func promptWords(v any) int64 {
	switch v := v.(type) {
	case string:
		return countWords(v)
	case []any:
		var n int64
		for _, e := range v {
			n += promptWords(e)
		}
		return n
	case map[string]any:
		var n int64
		for _, e := range v {
			n += promptWords(e)
		}
		return n
	}
	return 0
}

// split cuts s into n pieces at rune boundaries, fewer when s is short.
func split(s string, n int) []string {
	runes := []rune(s)
	if len(runes) == 0 {
		return nil
	}
	n = max(1, min(n, len(runes)))
	out := make([]string, 0, n)
	for i := range n {
		out = append(out, string(runes[i*len(runes)/n:(i+1)*len(runes)/n]))
	}
	return out
}

// shares spreads total over n pieces.
func shares(total int64, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = total*int64(i+1)/int64(n) - total*int64(i)/int64(n)
	}
	return out
}
