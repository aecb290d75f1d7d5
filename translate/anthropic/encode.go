package anthropic

import (
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
	"dragoman/translate/strictjson"
)

// defaultMaxTokens is sent where neither the client nor the catalogue says how long an answer may be: the schema requires
// a number, and every Claude model since 3 can write this many (D45).
const defaultMaxTokens = 4096

// encoder writes one request. Its parts are settled first (plan), so that what is refused costs no writing.
type encoder struct {
	r       *chat.Request
	t       translate.Target
	plan    plan
	dropped []string
	err     *fault.Fault
}

// plan is what was settled about a request before its first byte is written.
type plan struct {
	system      []dialogue.Block
	turns       dialogue.Turns
	tools       int      // how many of the client's are sent
	standIns    []string // tools of the history that the request does not define
	onlyTool    int      // 1 + the only tool that keeps its cache mark, 0: all keep theirs
	max         int64
	thinking    thinking
	format      []byte // the schema of structured output
	temperature *float64
	topP        *float64
	topK        *int64
}

// Encode writes a request that came in another schema. Equal requests give equal bytes.
//
// What the Messages API cannot say is refused with fault.Unsupported where it would change the answer's meaning, unless
// Target.Lossy; otherwise it is left out and named in Upstream.Dropped. A value out of range (a temperature above 1) is
// brought into it and named, too. n above 1, sound and other providers' file ids are always refused: nothing like them
// could come back.
func (Codec) Encode(r *chat.Request, t translate.Target) (*translate.Upstream, error) {
	e := encoder{r: r, t: t}
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
	t.Header = nil // what a client of another schema said is not meant for this one
	up, err := send(t, body, nil, r.Stream)
	if err != nil {
		return nil, err
	}
	up.Dropped = e.dropped
	return up, nil
}

// size guesses the body's length, so that it grows at most once.
func (e *encoder) size() int {
	n := 512
	for i := range e.r.Messages {
		for j := range e.r.Messages[i].Parts {
			p := &e.r.Messages[i].Parts[j]
			n += 96 + len(p.Text) + len(p.Text)/16 + len(p.Signature)
			if p.Media != nil {
				n += len(p.Media.Data) + len(p.Media.URL)
			}
			if p.Call != nil {
				n += len(p.Call.Arguments)
			}
			if p.Result != nil {
				for k := range p.Result.Parts {
					n += 96 + len(p.Result.Parts[k].Text) + len(p.Result.Parts[k].Text)/16
				}
			}
		}
	}
	for i := range e.r.Tools {
		n += 128 + len(e.r.Tools[i].Description) + len(e.r.Tools[i].Parameters)
	}
	return n
}

// body writes the members in one fixed order.
func (e *encoder) body(b []byte) []byte {
	b = strictjson.AppendString(append(b, `{"model":`...), e.t.Model)
	b = strconv.AppendInt(append(b, `,"max_tokens":`...), e.plan.max, 10)
	if len(e.plan.system) > 0 {
		b = append(b, `,"system":[`...)
		b = append(e.blocks(b, e.plan.system), ']')
	}
	b = append(b, `,"messages":[`...)
	for i := range e.plan.turns {
		b = e.turn(b, i)
	}
	b = append(b, ']')
	b = e.tools(b)
	b = e.toolChoice(b)
	b = e.plan.thinking.append(b)
	b = e.outputConfig(b)
	b = e.sampling(b)
	if user := userID(e.r.User); user != "" {
		b = append(strictjson.AppendString(append(b, `,"metadata":{"user_id":`...), user), '}')
	}
	if e.r.Stream {
		b = append(b, `,"stream":true`...)
	}
	return append(b, '}')
}

func (e *encoder) turn(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	t := &e.plan.turns[i]
	b = append(b, `{"role":"`...)
	b = append(b, t.Role...)
	b = append(b, `","content":`...)
	if only := onlyText(t); only != nil {
		return append(strictjson.AppendString(b, only.Text), '}')
	}
	b = append(b, '[')
	return append(e.blocks(b, t.Blocks), `]}`...)
}

// outputConfig writes the schema of structured output and how hard to think.
func (e *encoder) outputConfig(b []byte) []byte {
	effort := e.plan.thinking.effort
	if e.plan.format == nil && effort == "" {
		return b
	}
	b = append(b, `,"output_config":{`...)
	if effort != "" {
		b = append(append(append(b, `"effort":"`...), effort...), '"')
		if e.plan.format != nil {
			b = append(b, ',')
		}
	}
	if e.plan.format != nil {
		b = append(append(append(b, `"format":{"type":"json_schema","schema":`...), e.plan.format...), '}')
	}
	return append(b, '}')
}

// sampling writes temperature, top_p, top_k and stop_sequences as they were settled.
func (e *encoder) sampling(b []byte) []byte {
	if t := e.plan.temperature; t != nil {
		b = appendFloat(append(b, `,"temperature":`...), *t)
	}
	if p := e.plan.topP; p != nil {
		b = appendFloat(append(b, `,"top_p":`...), *p)
	}
	if k := e.plan.topK; k != nil {
		b = strconv.AppendInt(append(b, `,"top_k":`...), *k, 10)
	}
	sep := `,"stop_sequences":[`
	for _, s := range e.r.Stop {
		if dialogue.Blank(s) {
			continue
		}
		b = strictjson.AppendString(append(b, sep...), s)
		sep = `,`
	}
	if sep == `,` {
		b = append(b, ']')
	}
	return b
}

func appendFloat(b []byte, f float64) []byte { return strconv.AppendFloat(b, f, 'g', -1, 64) }

// maxDropped bounds what is named: the list becomes a header, and a request may have 100,000 messages.
const maxDropped = 32

// drop names a field of the client's that is left out.
func (e *encoder) drop(path string) {
	switch n := len(e.dropped); {
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
