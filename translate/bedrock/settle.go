package bedrock

import (
	"fmt"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
)

// refuse looks at the members that have no counterpart in a Converse request.
func (e *encoder) refuse() {
	r := e.r
	if r.N != nil && *r.N > 1 { // D56: never silently one
		e.unsupported("n", "Bedrock's models give one answer per request: n must be 1.")
	}
	if r.LogProbs != nil && *r.LogProbs || r.TopLogProbs != nil && *r.TopLogProbs > 0 { // D57
		e.lose("logprobs", "Bedrock's Converse API reports no log probabilities.")
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
	if r.User != "" { // D10: requestMetadata is a log's, and takes no free text
		e.drop("user")
	}
	for _, s := range r.Stop {
		if dialogue.Blank(s) { // D53
			e.drop("stop")
			continue
		}
		e.plan.stop = append(e.plan.stop, s)
	}
	e.extras(r.Extra)
}

// settle decides on everything that depends on more than one member.
func (e *encoder) settle() {
	e.settleTools()
	e.settleFormat()
	e.settleHistory()
	e.settleMax()
	e.settleThinking()
	e.settleSampling()
	e.settleBetas()
	e.settleMarks()
	e.settleTurns()
}

// settleMax: a cap above the model's own would be refused, and could not be reached. Without one the model's own holds
// (D45).
func (e *encoder) settleMax() {
	if e.r.MaxTokens == nil {
		return
	}
	e.plan.max = *e.r.MaxTokens
	if e.t.MaxOutput > 0 {
		e.plan.max = min(e.plan.max, e.t.MaxOutput)
	}
}

// settleSampling brings temperature and topP into Converse's range, 0 to 1, and leaves out what the model refuses (D48, D49).
func (e *encoder) settleSampling() {
	e.settleTemperature()
	if p := e.r.TopP; p != nil && *p != 1 {
		claude := e.model.think == claudeThink
		switch {
		case e.plan.thinking.fixed, !e.model.sampling && *p < 0.99, claude && e.plan.thinking.on && *p < 0.95, e.model.exactly1 && e.plan.temperature != nil:
			e.drop("top_p")
		default:
			e.plan.topP = p
		}
	}
	if e.r.TopK == nil {
		return
	}
	if e.plan.thinking.on || !e.model.sampling || e.model.topK == "" {
		e.drop("top_k")
		return
	}
	e.plan.topK = e.r.TopK
}

func (e *encoder) settleTemperature() {
	t := e.r.Temperature
	if t == nil || *t == 1 && e.model.signs { // Claude's default; of others nobody knows it
		return
	}
	if !e.model.sampling || e.plan.thinking.fixed || e.model.think == claudeThink && e.plan.thinking.on {
		e.drop("temperature")
		return
	}
	e.plan.temperature = t
	if *t > 1 {
		one := 1.0
		e.plan.temperature = &one
		e.drop("temperature") // clamped
	}
}

// maxMarks is how many cache points a request may have.
const maxMarks = 4

// settleMarks names the marks that the model cannot have, and keeps those that save most when there are too many: the last
// of the tools, the last of the system prompt, then the latest of the conversation (D82).
func (e *encoder) settleMarks() {
	total, last := 0, -1
	for i := range e.r.Tools {
		if e.r.Tools[i].Cache != nil {
			total, last = total+1, i
		}
	}
	if !e.model.cacheTop && total > 0 {
		e.drop(toolPath(last) + ".cache_control")
		total = 0
	}
	system := countMarks(e.plan.system)
	talk := 0
	for i := range e.plan.turns {
		talk += countMarks(e.plan.turns[i].Blocks)
	}
	if !e.model.cache {
		if system+talk > 0 {
			e.drop("cache_control")
		}
		e.clearMarks(0, 0)
		return
	}
	if total+system+talk <= maxMarks {
		return
	}
	e.drop("cache_control")
	e.plan.lastTool = total > 1
	total, system = min(total, 1), min(system, 1)
	e.clearMarks(system, maxMarks-total-system)
}

func countMarks(list []dialogue.Block) (n int) {
	for i := range list {
		if list[i].Cache != nil {
			n++
		}
	}
	return n
}

// clearMarks keeps only the last marks of the system prompt and of the conversation.
func (e *encoder) clearMarks(system, talk int) {
	clearOld(e.plan.system, system)
	for i := len(e.plan.turns) - 1; i >= 0; i-- {
		talk = clearOld(e.plan.turns[i].Blocks, talk)
	}
}

func clearOld(list []dialogue.Block, keep int) (left int) {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Cache == nil {
			continue
		}
		if keep == 0 {
			list[i].Cache = nil
			continue
		}
		keep--
	}
	return keep
}

// The limits of one message (D68), in items and in bytes.
const (
	maxImages        = 20
	maxImageBytes    = 3_750_000
	maxDocuments     = 5
	maxDocumentBytes = 4_500_000
)

// settleTurns holds each message against the vendor's limits, and puts a text beside documents that come without one.
func (e *encoder) settleTurns() {
	for i := range e.plan.turns {
		t := &e.plan.turns[i]
		images, documents, text := 0, 0, false
		for j := range t.Blocks {
			switch b := &t.Blocks[j]; b.Kind {
			case chat.Text:
				text = true
			case chat.Image:
				images++
			case chat.Document:
				documents++
			}
		}
		at := ""
		if images > maxImages || documents > maxDocuments {
			at = fmt.Sprintf("messages[%d].content", t.Blocks[0].Message)
		}
		if images > maxImages {
			e.unsupported(at, "Bedrock takes at most %d images in one message.", maxImages)
		}
		if documents > maxDocuments {
			e.unsupported(at, "Bedrock takes at most %d documents in one message.", maxDocuments)
		}
		if documents > 0 && !text {
			t.Blocks = append(t.Blocks, dialogue.Block{Kind: chat.Text, Text: dialogue.Placeholder, Message: t.Blocks[0].Message})
		}
	}
}

func (e *encoder) tooLarge(path, what string, limit int) {
	e.fail(fault.TooLarge, path, "Bedrock takes %s of at most %d bytes.", what, limit)
}

func toolPath(i int) string { return fmt.Sprintf("tools[%d]", i) }
