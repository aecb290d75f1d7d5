package anthropic

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
)

// refuse looks at the members that have no counterpart in a Messages request.
func (e *encoder) refuse() {
	r := e.r
	if r.N != nil && *r.N > 1 { // D56: never silently one
		e.unsupported("n", "Anthropic's models give one answer per request: n must be 1.")
	}
	if r.LogProbs != nil && *r.LogProbs || r.TopLogProbs != nil && *r.TopLogProbs > 0 { // D57
		e.lose("logprobs", "Anthropic's models report no log probabilities.")
	}
	if r.Seed != nil { // D55
		e.drop("seed")
	}
	if r.FrequencyPenalty != nil && *r.FrequencyPenalty != 0 { // D52; 0 is the default
		e.drop("frequency_penalty")
	}
	if r.PresencePenalty != nil && *r.PresencePenalty != 0 {
		e.drop("presence_penalty")
	}
	for _, s := range r.Stop {
		if dialogue.Blank(s) { // D53
			e.drop("stop")
			break
		}
	}
	e.extras(r.Extra)
}

// settle decides on everything that depends on more than one member.
func (e *encoder) settle() {
	e.settleTools()
	e.settleFormat()
	e.settleMax()
	e.settleThinking()
	e.settleSampling()
	e.settleMarks()
}

// settleMax: a cap above the model's own would be refused, and could not be reached (D45).
func (e *encoder) settleMax() {
	switch {
	case e.r.MaxTokens != nil:
		e.plan.max = *e.r.MaxTokens
	case e.t.MaxOutput > 0:
		e.plan.max = e.t.MaxOutput
	default:
		e.plan.max = defaultMaxTokens
	}
	if e.t.MaxOutput > 0 {
		e.plan.max = min(e.plan.max, e.t.MaxOutput)
	}
}

// settleSampling brings temperature and top_p to what the model takes, and names what it changes or drops (D48, D49). Of
// the two together the API takes only the temperature.
func (e *encoder) settleSampling() {
	r, known := e.r, traitsOf(e.t.Model).sampling
	thinks := e.plan.thinking.on()
	if t := r.Temperature; t != nil && *t != 1 { // 1 is the default
		switch {
		case thinks || !known:
			e.drop("temperature")
		case *t > 1:
			e.drop("temperature") // clamped to the default
		default:
			e.plan.temperature = t
		}
	}
	if p := r.TopP; p != nil && *p != 1 {
		switch {
		case !known && *p < 0.99, thinks && *p < 0.95, e.plan.temperature != nil:
			e.drop("top_p")
		default:
			e.plan.topP = p
		}
	}
	if r.TopK != nil {
		if thinks || !known {
			e.drop("top_k")
		} else {
			e.plan.topK = r.TopK
		}
	}
}

// jsonInstruction stands for OpenAI's json_object mode: the API has structured output only with a schema, and a
// permissive one is refused (every object must say additionalProperties false), so the model is told (D61).
const jsonInstruction = "Answer with one JSON object and nothing else: no text around it and no code fence."

func (e *encoder) settleFormat() {
	f := e.r.Format
	if f == nil {
		return
	}
	if f.Schema == nil {
		e.plan.system = append(e.plan.system, dialogue.Block{Kind: chat.Text, Text: jsonInstruction})
		return
	}
	schema, err := normalise(f.Schema)
	if err != nil {
		e.fail(err.Kind, "response_format.json_schema.schema", "%s", err.Message)
		return
	}
	e.plan.format = schema
	if f.Description != "" {
		e.drop("response_format.json_schema.description")
	}
}

// maxMarks is how many cache breakpoints a request may have.
const maxMarks = 4

// settleMarks keeps the breakpoints that save most when there are too many: the last of the tools, the last of the
// system prompt, then the latest of the conversation (D82).
func (e *encoder) settleMarks() {
	total := 0
	lastTool := -1
	for i := range e.r.Tools {
		if e.r.Tools[i].Cache != nil {
			total, lastTool = total+1, i
		}
	}
	marked := func(list []dialogue.Block) (n int) {
		for i := range list {
			if list[i].Cache != nil {
				n++
			}
		}
		return n
	}
	total += marked(e.plan.system)
	for i := range e.plan.turns {
		total += marked(e.plan.turns[i].Blocks)
	}
	if total <= maxMarks {
		return
	}
	left := maxMarks
	e.plan.onlyTool = lastTool + 1
	if lastTool >= 0 {
		left--
	}
	if marked(e.plan.system) > 0 {
		keepMarks(e.plan.system, 1)
		left--
	}
	for i := len(e.plan.turns) - 1; i >= 0; i-- {
		left = keepMarks(e.plan.turns[i].Blocks, left)
	}
	e.drop("cache_control")
}

// keepMarks keeps the last n marks of list and returns how many of n are left.
func keepMarks(list []dialogue.Block, n int) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Cache == nil {
			continue
		}
		if n == 0 {
			list[i].Cache = nil
			continue
		}
		n--
	}
	return n
}

// maxUserID is the vendor's limit for metadata.user_id.
const maxUserID = 256

// userID is what may be sent as metadata.user_id: the vendor refuses values that identify a person, so that what looks
// like an address or a telephone number is sent as a hash, the same for the same user (D10).
func userID(user string) string {
	if user == "" || len(user) <= maxUserID && !strings.Contains(user, "@") && !phone(user) {
		return user
	}
	sum := sha256.Sum256([]byte(user))
	return "user_" + hex.EncodeToString(sum[:16])
}

// phone says whether s is written like an international telephone number, or like a national one with its separators.
// Plain digits alone are somebody's primary key more often than a number to call.
func phone(s string) bool {
	digits, marks := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case digit(c):
			digits++
		case strings.IndexByte("+ ()-./", c) >= 0:
			marks++
		default:
			return false
		}
	}
	return digits >= 7 && digits <= 15 && marks > 0
}

func toolPath(i int) string { return fmt.Sprintf("tools[%d]", i) }
