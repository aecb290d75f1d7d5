package bedrock

import (
	"strconv"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
	"dragoman/translate/strictjson"
)

// encoder writes one request. Its parts are settled first (plan), so that what is refused costs no writing.
type encoder struct {
	r       *chat.Request
	t       translate.Target
	model   traits
	names   *chat.Names
	plan    plan
	dropped []string
	err     *fault.Fault
}

// plan is what was settled about a request before its first byte is written.
type plan struct {
	system      []dialogue.Block
	turns       dialogue.Turns
	tools       bool   // toolConfig is sent
	choice      choice // of toolConfig
	only        string // the one tool that is sent, "" for all
	max         int64  // output cap in tokens, 0: the model's own
	thinking    thinking
	format      []byte // the schema of structured output
	formatTool  bool   // format is asked for as a tool that must be called (D64)
	temperature *float64
	topP        *float64
	topK        *int64
	stop        []string
	guardrail   []byte
	betas       []string // of Claude
	documents   int      // written so far, for their names
	lastTool    bool     // of the tools only the last mark is kept
}

// Encode writes a request that came in another schema. Equal requests give equal bytes.
//
// What Converse, or the model, cannot say is refused with fault.Unsupported where it would change the answer's meaning,
// unless Target.Lossy; otherwise it is left out and named in Upstream.Dropped. A value out of range is brought into it and
// named, too. n above 1, sound and file ids are always refused. A URL of an image or document is refused with the code
// needs_bytes: whoever can fetch it may try again with the bytes (D65).
func (Codec) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := encoder{r: r, t: t, model: traitsOf(t.Model), names: chat.NamesFor(r, nameRule)}
	e.refuse()
	e.converse()
	e.settle()
	if e.err != nil {
		return nil, e.err
	}
	body := e.body(make([]byte, 0, e.size()))
	if e.err != nil {
		return nil, e.err
	}
	return &translate.Upstream{Path: conversePath(t, r.Stream), Body: body, Dropped: e.dropped, Names: e.names}, nil
}

// size guesses the body's length, so that it grows at most once.
func (e *encoder) size() int {
	n := 512
	for i := range e.r.Messages {
		for j := range e.r.Messages[i].Parts {
			p := &e.r.Messages[i].Parts[j]
			n += 96 + partSize(p)
			if p.Result != nil {
				for k := range p.Result.Parts {
					n += 96 + partSize(&p.Result.Parts[k])
				}
			}
		}
	}
	for i := range e.r.Tools {
		n += 128 + len(e.r.Tools[i].Description) + len(e.r.Tools[i].Parameters)
	}
	return n + len(e.plan.format) + len(e.plan.format)/4
}

func partSize(p *chat.Part) int {
	n := len(p.Text) + len(p.Text)/16 + len(p.Signature)
	if p.Media != nil {
		n += len(p.Media.Data) + len(p.Media.URL)
	}
	if p.Call != nil {
		n += len(p.Call.Arguments)
	}
	return n
}

// body writes the members in one fixed order: what stays the same from turn to turn first.
func (e *encoder) body(b []byte) []byte {
	b = append(b, '{')
	b = e.tools(b)
	if len(e.plan.system) > 0 {
		b = append(b, `"system":[`...)
		b = append(e.blocks(b, e.plan.system), `],`...)
	}
	b = append(b, `"messages":[`...)
	for i := range e.plan.turns {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"role":"`...), e.plan.turns[i].Role...), `","content":[`...)
		b = append(e.blocks(b, e.plan.turns[i].Blocks), `]}`...)
	}
	b = append(b, ']')
	b = e.inference(b)
	b = e.additional(b)
	b = e.outputConfig(b)
	if e.plan.guardrail != nil {
		b = append(append(b, `,"guardrailConfig":`...), e.plan.guardrail...)
	}
	return append(b, '}')
}

// members writes an object whose members are known one at a time, and nothing at all when none comes.
type members struct {
	b    []byte
	open string // up to and with the brace
	any  bool
}

func (m *members) key(name string) {
	if m.any {
		m.b = append(m.b, ',')
	} else {
		m.b = append(m.b, m.open...)
	}
	m.any = true
	m.b = append(append(append(m.b, '"'), name...), `":`...)
}

func (m *members) close() []byte {
	if m.any {
		m.b = append(m.b, '}')
	}
	return m.b
}

func (e *encoder) inference(b []byte) []byte {
	m := members{b: b, open: `,"inferenceConfig":{`}
	if e.plan.max > 0 {
		m.key("maxTokens")
		m.b = strconv.AppendInt(m.b, e.plan.max, 10)
	}
	if t := e.plan.temperature; t != nil {
		m.key("temperature")
		m.b = appendFloat(m.b, *t)
	}
	if p := e.plan.topP; p != nil {
		m.key("topP")
		m.b = appendFloat(m.b, *p)
	}
	if len(e.plan.stop) > 0 {
		m.key("stopSequences")
		for i, s := range e.plan.stop {
			m.b = strictjson.AppendString(append(m.b, "[,"[min(i, 1)]), s)
		}
		m.b = append(m.b, ']')
	}
	return m.close()
}

func appendFloat(b []byte, f float64) []byte { return strconv.AppendFloat(b, f, 'g', -1, 64) }

// outputConfig writes the schema of structured output, which the API takes as text, and how hard to think.
func (e *encoder) outputConfig(b []byte) []byte {
	m := members{b: b, open: `,"outputConfig":{`}
	if e.plan.format != nil && !e.plan.formatTool {
		m.key("textFormat")
		m.b = append(m.b, `{"type":"json_schema","structure":{"jsonSchema":{"schema":`...)
		m.b = strictjson.AppendString(m.b, view(e.plan.format))
		if e.r.Format.Name != "" {
			m.b = strictjson.AppendString(append(m.b, `,"name":`...), e.r.Format.Name)
		}
		if e.r.Format.Description != "" {
			m.b = strictjson.AppendString(append(m.b, `,"description":`...), e.r.Format.Description)
		}
		m.b = append(m.b, `}}}`...)
	}
	if effort := e.plan.thinking.effort; effort != "" && e.model.think == claudeThink {
		m.key("effort")
		m.b = append(append(append(m.b, '"'), effort...), '"')
	}
	return m.close()
}

// maxDropped bounds what is named: the list becomes a header, and a request may have 100,000 messages.
const maxDropped = 32

// drop names a field of the client's that is left out.
func (e *encoder) drop(path string) {
	switch n := len(e.dropped); {
	case n > 0 && e.dropped[n-1] == path:
	case n < maxDropped:
		e.dropped = append(e.dropped, path)
	case n == maxDropped:
		e.dropped = append(e.dropped, "...") // in ASCII, as a header must be
	}
}

// lose is for a field whose loss changes the meaning: it is dropped only where the target allows that.
func (e *encoder) lose(path, format string, args ...any) {
	if e.t.Lossy {
		e.drop(path)
		return
	}
	e.unsupported(path, format, args...)
}

func (e *encoder) unsupported(path, format string, args ...any) {
	e.fail(fault.Unsupported, path, format, args...)
}

func (e *encoder) fail(kind fault.Kind, path, format string, args ...any) {
	if e.err == nil {
		e.err = fault.New(kind, format, args...)
		e.err.Param = path
	}
}

// guardrailMember is Converse's own name for it, which some clients send beside OpenAI's members.
const guardrailMember = "guardrailConfig"

// extras names or refuses what only the client's schema knows.
func (e *encoder) extras(list []chat.Extra) {
	for i := range list {
		x := &list[i]
		switch {
		case x.Name == guardrailMember:
			e.guardrail(x.JSON)
		case x.Meaning:
			e.lose(x.Name, "%s has no counterpart in Bedrock's Converse API.", x.Name)
		default:
			e.drop(x.Name)
		}
	}
}

// guardrail takes the members of GuardrailStreamConfiguration and nothing else. Only a stream can be processed
// asynchronously.
func (e *encoder) guardrail(raw []byte) {
	v := gjson.ParseBytes(raw)
	id, version := v.Get("guardrailIdentifier"), v.Get("guardrailVersion")
	if id.Type != gjson.String || version.Type != gjson.String {
		e.fail(fault.InvalidRequest, guardrailMember, "%s must have the strings guardrailIdentifier and guardrailVersion.", guardrailMember)
		return
	}
	b := strictjson.AppendString([]byte(`{"guardrailIdentifier":`), id.Str)
	b = strictjson.AppendString(append(b, `,"guardrailVersion":`...), version.Str)
	if s := v.Get("trace"); s.Type == gjson.String {
		b = strictjson.AppendString(append(b, `,"trace":`...), s.Str)
	}
	if s := v.Get("streamProcessingMode"); s.Type == gjson.String && e.r.Stream {
		b = strictjson.AppendString(append(b, `,"streamProcessingMode":`...), s.Str)
	}
	e.plan.guardrail = append(b, '}')
}
