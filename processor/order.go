package processor

import (
	"bytes"
	"slices"
	"strconv"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/wiring"
	"dragoman/processor/route"
	"dragoman/processor/window"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// order sends the request to its first provider and tells Envoy where to go from there.
func (ex *Exchange) order() error {
	if ex.endpoint.op == opCount && ex.codec(ex.decision.Plan[0].Provider) == nil {
		return ex.answerCount()
	}
	planned := len(ex.decision.Plan)
	if err := ex.askable(); err != nil {
		return ex.refuse(err)
	}
	if !ex.affordable() {
		if err := ex.afford(); err != nil {
			return ex.refuse(err)
		}
	}
	if err := ex.stay(); err != nil {
		return ex.refuse(err)
	}
	if err := ex.stayWithFiles(); err != nil {
		return ex.refuse(err)
	}
	ex.bound = ex.origin != "" || len(ex.decision.Plan) < planned
	ex.acts = actsAtProvider(ex.head)
	ex.steer(ex.s.Health.View())
	up, err := ex.encodeFirst()
	if err != nil {
		return ex.refuse(err)
	}
	ex.sayable()
	ex.addSpare()
	ex.cures = ex.curable()
	step := &ex.decision.Plan[0]
	ex.moveTo(step)
	ex.noteUpstream(1, up)
	ex.id = ex.s.NewID()
	ex.s.exchanges.add(ex)
	ex.begin(step)
	ex.phase = ordered

	h := newHeaders()
	ex.setUpstream(&h, up, step)
	ex.setAttempts(&h)
	if elsewhere(ex.decision.Plan) {
		h.set(wiring.HeaderRetryCodes, wiring.ElsewhereCodes)
	}
	if ex.probes() {
		h.set(wiring.HeaderProbe, "1")
	}
	if err := ex.send(ex.orderedBy(&h)); err != nil {
		return err
	}
	ex.mirror()
	if err := ex.send(requestBody(up.Body, !ex.trailers)); err != nil {
		return err
	}
	ex.wait()
	if !ex.trailers {
		return nil
	}
	return ex.send(requestTrailers())
}

// elsewhere says whether a later attempt goes to another group than the first.
func elsewhere(plan []route.Step) bool {
	for i := range plan {
		if plan[i].Group != plan[0].Group {
			return true
		}
	}
	return false
}

// askable leaves the steps in the plan whose provider can be asked for this operation at all.
func (ex *Exchange) askable() error {
	if !slices.ContainsFunc(ex.decision.Plan, func(s route.Step) bool { return ex.codec(s.Provider) == nil }) {
		return nil
	}
	plan, refused := ex.decision.Plan[:0:0], error(nil)
	for i := range ex.decision.Plan {
		step := &ex.decision.Plan[i]
		if ex.codec(step.Provider) == nil {
			refused = fault.New(fault.Unsupported, "The provider %s has no counterpart of %s. Ask for a model of another one.", step.Provider.Name, ex.endpoint.path)
			continue
		}
		plan = append(plan, *step)
	}
	if len(plan) == 0 {
		return refused
	}
	ex.decision.Plan = plan
	return nil
}

// sayable leaves out the later steps whose schema cannot say what the client asks: an attempt that is under way can only be ended,
// not sent elsewhere. It writes the request in each schema, which only one that is out of the ordinary is worth.
func (ex *Exchange) sayable() {
	if ordinary(ex.head) {
		return
	}
	plan := ex.decision.Plan
	kept := plan[:1:1]
	refused := map[*config.Provider]bool{}
	for i := 1; i < len(plan); i++ {
		p := plan[i].Provider
		if _, tried := refused[p]; !tried && p != plan[0].Provider {
			_, err := ex.write(&plan[i], false)
			refused[p] = err != nil && !ex.needsFetch(err)
		}
		if !refused[p] {
			kept = append(kept, plan[i])
		}
	}
	ex.decision.Plan = kept
}

// ordinary says that every schema has a counterpart of all that the request holds.
func ordinary(h *chat.Head) bool {
	for i := range h.Fields {
		switch h.Fields[i].Name {
		case "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop",
			"stop_sequences", "system", "tools", "tool_choice", "user", "metadata":
		default:
			return false
		}
	}
	return h.Images == 0 && !bytes.Contains(h.Body, audioMark) && !bytes.Contains(h.Body, fileMark) && !bytes.Contains(h.Body, documentMark)
}

// What a content part of a kind that not every schema has holds.
var audioMark, fileMark, documentMark = []byte(`input_audio"`), []byte(`"file"`), []byte(`"document"`)

// encodeFirst writes the request for the first attempt. A step whose schema cannot say what the client asks (a server-side
// tool, logprobs) is left out of the plan as long as another one can.
func (ex *Exchange) encodeFirst() (*translate.Upstream, error) {
	var first error
	for {
		up, err := ex.encode(&ex.decision.Plan[0])
		if err == nil {
			return up, nil
		}
		if first == nil {
			first = err
		}
		if len(ex.decision.Plan) == 1 || asFault(err).Kind != fault.Unsupported {
			return nil, first
		}
		ex.decision.Plan = ex.decision.Plan[1:]
	}
}

// encode writes the request in the schema of one step of the plan. The body's bytes pass when the client speaks it too.
func (ex *Exchange) encode(step *route.Step) (*translate.Upstream, error) {
	return ex.write(step, true)
}

// write is encode; without fetch, files that are only named by URL stay where they are (translate.NeedsBytes).
func (ex *Exchange) write(step *route.Step, fetch bool) (*translate.Upstream, error) {
	codec := ex.codec(step.Provider)
	if codec == nil {
		return nil, fault.New(fault.Unsupported, "The provider %s has no counterpart of %s.", step.Provider.Name, ex.endpoint.path)
	}
	target := ex.target(step)
	short, cut, err := ex.shortened(step)
	if err != nil {
		return nil, err
	}
	tokens, capped, err := ex.capped(step)
	if err != nil {
		return nil, err
	}
	if codec.Schema() == ex.head.Schema && short == nil {
		head := ex.headFor(step)
		if capped != "" {
			if head, err = ex.capHead(head, tokens); err != nil {
				return nil, err
			}
		}
		up, err := codec.Rewrite(head, target)
		if up != nil {
			up.Capped = capped
		}
		if !fetch || !ex.needsFetch(err) {
			return up, err
		}
	}
	request := short
	if capped != "" {
		if request, err = ex.capRequest(short, tokens); err != nil {
			return nil, err
		}
	}
	up, err := ex.encodeForeign(codec, target, request, fetch)
	if up != nil {
		up.Capped = capped
	}
	if short != nil && err == nil {
		up.Cut = cut.String()
	}
	return up, err
}

// shortened is the request cut to a model's window, where the route says so; nil when nothing has to go.
func (ex *Exchange) shortened(step *route.Step) (*chat.Request, window.Cut, error) {
	if ex.endpoint.op != opChat || ex.policy == nil || ex.policy.Overlong != config.TruncateOldest && ex.policy.Overlong != config.TruncateMiddle {
		return nil, window.Cut{}, nil
	}
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	return ex.gauge.Truncate(step.Model, ex.policy.Overlong)
}

// target is what a codec needs to know of the model that is asked.
func (ex *Exchange) target(step *route.Step) translate.Target {
	p := step.Provider
	t := translate.Target{BasePath: p.BasePath, Model: step.Model.ID, MaxOutput: step.Model.MaxOutput, Dialect: p.Dialect,
		APIVersion: p.APIVersion, Capabilities: step.Model.Capabilities, Header: ex.passed}
	if ex.policy != nil {
		t.Lossy = ex.policy.Lossy
	}
	return t
}

// passed is a client's header that may go to a provider of its schema, "" for none.
func (ex *Exchange) passed(name string) string {
	for i := range ex.passing {
		if ex.passing[i].Name == name {
			return ex.passing[i].Value
		}
	}
	return ""
}

// setUpstream writes what an attempt's request needs of headers; Envoy adds the credential.
func (ex *Exchange) setUpstream(h *headers, up *translate.Upstream, step *route.Step) {
	h.set(":path", up.Path)
	h.set(wiring.HeaderTarget, wiring.Target(step.Model.ID))
	h.set("content-type", "application/json")
	h.set("content-length", strconv.Itoa(len(up.Body)))
	for _, p := range ex.passing {
		if step.Provider.Schema == ex.head.Schema && !takesAway(up, p.Name) {
			h.set(p.Name, p.Value)
		} else {
			h.remove(p.Name) // else a client of another schema could speak to this provider past the translation
		}
	}
	for _, p := range up.Headers {
		if p.Value == "" {
			h.remove(p.Name)
			continue
		}
		h.set(p.Name, p.Value)
	}
}

// takesAway says that a header must not reach this provider. Envoy removes first and sets then, so it may not be set at all.
func takesAway(up *translate.Upstream, name string) bool {
	return slices.ContainsFunc(up.Headers, func(h translate.Header) bool { return h.Name == name && h.Value == "" })
}

// probes says whether attempt filters are to hold the answer until its first event.
func (ex *Exchange) probes() bool {
	if ex.endpoint.op == opPass {
		return false // no filter knows what such an answer begins with
	}
	if ex.cures {
		return true
	}
	switch ex.retry().Probe {
	case config.ProbeAll:
		return true
	case config.ProbeStreams:
		return ex.head.Stream
	default:
		return false
	}
}
