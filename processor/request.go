package processor

import (
	"bytes"
	"crypto/subtle"
	"slices"
	"strconv"
	"strings"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/wiring"
	"dragoman/processor/auth"
	"dragoman/processor/route"
	"dragoman/processor/window"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// onRequestHeaders is the part of a new request that needs no body: a caller who may not come in is told before he has
// uploaded anything. The headers are answered together with the body.
func (ex *Exchange) onRequestHeaders(in *inbound) error {
	r := ex.readHeaders(in.headers)
	ex.keepTold(in.headers)
	if err := ex.enter(r); err != nil {
		return ex.refuse(err)
	}
	switch ex.endpoint.op {
	case opModels, opModel:
		return ex.answerModels()
	case opTurn, opTurnInput:
		return ex.answerTurn(r)
	case opCheck:
		return ex.orderCheck()
	}
	if ex.endpoint.array && sse(r.query) {
		ex.endpoint.array = false // an endpoint with a model in its path is this request's own
	}
	if pass := ex.endpoint.pass; pass != nil && (pass.form || pass.object != "") {
		return ex.beginPass(r, in.last)
	}
	if in.last {
		return ex.refuse(fault.New(fault.InvalidRequest, "The request has no body: send a JSON object with model and messages."))
	}
	if n, err := strconv.Atoi(r.contentLength); err == nil && n > 0 {
		ex.body = make([]byte, 0, min(n, ex.snap.Limits.MaxBody, 1<<20))
	}
	ex.arm(ex.snap.Limits.UploadTimeout, func() {
		_ = ex.refuse(fault.New(fault.UploadTimeout, "The request's body did not arrive within %s.", ex.snap.Limits.UploadTimeout))
	})
	return nil
}

// onRequestBody collects the body; its last piece sets the request going.
func (ex *Exchange) onRequestBody(piece []byte, last bool) error {
	if ex.upload != nil {
		return ex.onUpload(piece, last)
	}
	if ex.phase != uploading || ex.endpoint == nil {
		return nil
	}
	if len(ex.body)+len(piece) > ex.snap.Limits.MaxBody {
		return ex.refuse(ex.tooLarge())
	}
	if last && len(ex.body) == 0 {
		ex.body = piece // the common case: one piece, which is ours
	} else {
		ex.body = append(ex.body, piece...)
	}
	if !last {
		return nil
	}
	ex.disarm()
	if pass := ex.endpoint.pass; pass != nil && pass.object != "" {
		return ex.orderObject(false)
	}
	answered, err := ex.admit()
	if answered {
		return err
	}
	if err != nil {
		return ex.refuse(err)
	}
	return ex.order()
}

// incoming is what the steps read of the request's headers.
type incoming struct {
	method, path     string // the query cut off
	query            string
	contentType      string
	contentLength    string
	anthropicVersion string
	credentials      auth.Credentials
}

// enter is what can be said before the body: is there such an endpoint, and who calls?
func (ex *Exchange) enter(r incoming) error {
	e, err := ex.resolve(r)
	if err != nil {
		return err
	}
	if e.op == opModels || e.op == opModel {
		ex.endpoint = listFor(e, r)
	}
	if ex.own(r.credentials) {
		ex.principal = config.Own
		if ex.mirrorOf != "" {
			ex.principal = mirrorPrincipal
		}
	} else if ex.principal, err = auth.Authenticate(ex.snap.Keys, r.credentials); err != nil {
		return err
	}
	if ex.badTimeout {
		return fault.New(fault.InvalidRequest, "The header %s takes seconds (30) or a duration with its unit (1500ms).", wiring.HeaderTimeout)
	}
	if n, err := strconv.Atoi(r.contentLength); err == nil && n > ex.snap.Limits.MaxBody && (e.pass == nil || !e.pass.form) {
		return ex.tooLarge()
	}
	return nil
}

// listFor is the endpoint of a model list in the schema of the caller's SDK: those of three vendors ask at the same path.
func listFor(e *endpoint, r incoming) *endpoint {
	codec := e.client
	switch {
	case codec.Schema() != chat.OpenAI:
	case r.anthropicVersion != "":
		codec = anthropicCodec
	case r.credentials.XGoogAPIKey != "":
		codec = geminiCodec
	}
	return &endpoint{path: e.path, method: e.method, op: e.op, client: codec, model: e.model}
}

// own says that the gateway itself calls, through its loopback listener. The key is as long as any hash and lives in this process.
func (ex *Exchange) own(c auth.Credentials) bool {
	key, ok := strings.CutPrefix(c.Authorization, "Bearer ")
	return ok && ex.s.OwnKey != "" && subtle.ConstantTimeCompare([]byte(key), []byte(ex.s.OwnKey)) == 1
}

// resolve finds the endpoint; even a request for none gets its answer in the schema that its path suggests.
func (ex *Exchange) resolve(r incoming) (*endpoint, error) {
	e := find(r.path)
	if e == nil {
		e, ex.objectID = findPass(r.method, r.path)
	}
	if e == nil {
		e = ex.findCheck(r)
	}
	if e == nil {
		ex.endpoint = &endpoint{path: "unknown", client: clientFor(r.path, r.anthropicVersion)}
		return nil, fault.New(fault.NotFound, "There is no endpoint %s here. The gateway serves the paths of OpenAI's, Anthropic's, Google's and Cohere's APIs: POST /v1/chat/completions, /v1/responses, /v1/messages, /v1/embeddings …, and GET /v1/models.", clip(r.path))
	}
	ex.endpoint = e
	if e.method != r.method && e.also != r.method {
		return nil, fault.New(fault.MethodNotAllowed, "%s does not take %s; use %s.", e.path, clip(r.method), e.method)
	}
	return e, nil
}

// admit takes a whole request through the steps, in the only order that is right: nothing is counted for a request that
// may not be made, nothing is looked up for one that may not be answered, and only what no cache can answer is routed.
// answered says that the client already has its answer.
func (ex *Exchange) admit() (answered bool, err error) {
	if err := ex.parse(); err != nil {
		return false, err
	}
	rt, err := ex.permit()
	if err != nil {
		return false, err
	}
	if rt, err = ex.rule(rt); err != nil {
		return false, err
	}
	if err := ex.openFiles(); err != nil {
		return false, err
	}
	if err := ex.resume(); err != nil {
		return false, err
	}
	ex.gauge = window.NewGauge(ex.head, ex.decoded)
	if err := ex.reserve(); err != nil {
		return false, err
	}
	if answered, err := ex.recall(rt); answered || err != nil {
		return answered, err
	}
	if err := ex.choose(rt); err != nil {
		if ex.outdated(asFault(err)) {
			return true, ex.replay()
		}
		return false, err
	}
	return false, nil
}

// parse reads the head of the body, and refuses what no provider would take.
func (ex *Exchange) parse() (err error) {
	if ex.head, err = ex.endpoint.client.Parse(ex.body); err != nil {
		return err
	}
	if ex.endpoint.model != "" {
		ex.head.Model, ex.head.Stream = ex.endpoint.model, ex.endpoint.stream
	}
	return nil
}

// permit resolves the model asked for and asks whether the principal may use it.
func (ex *Exchange) permit() (*config.Route, error) {
	if ex.endpoint.pass != nil {
		return ex.reachable(ex.permitPass())
	}
	rt, err := ex.snap.Lookup(ex.head.Model)
	if err != nil {
		return nil, err
	}
	ex.route, ex.policy = rt.Name, rt
	if err := auth.Permit(ex.principal, ex.head.Model, rt); err != nil {
		return nil, err
	}
	return ex.reachable(rt, nil)
}

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
	if err := ex.send(orderedHeaders(&h, ex.id, string(ex.head.Schema), ex.decision.Plan)); err != nil {
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

// readHeaders goes over the client's headers once. None has to be removed here: Envoy's own filters let only listed ones in,
// and only listed ones out to a provider.
func (ex *Exchange) readHeaders(hs []field) (r incoming) {
	for i := range hs {
		value := hs[i].value
		switch hs[i].name {
		case ":path":
			r.path, r.query, _ = strings.Cut(value, "?")
		case ":method":
			r.method = value
		case "content-length":
			r.contentLength = value
		case "content-type":
			r.contentType = value
		case wiring.HeaderModel:
			ex.modelHeader = value
		case "x-request-id":
			ex.requestID = value
		case "authorization":
			r.credentials.Authorization = value
		case "x-api-key":
			r.credentials.XAPIKey = value
		case "api-key":
			r.credentials.APIKey = value
		case "x-goog-api-key":
			r.credentials.XGoogAPIKey = value
		case wiring.HeaderCacheKey:
			ex.keyPart = value
		case "cache-control":
			ex.directives.Read(value)
		case wiring.HeaderDebug:
			ex.debug = value == "route"
		case "x-session-id", wiring.HeaderConversation:
			ex.session = value
		case wiring.HeaderProviders, wiring.HeaderDataRegions, wiring.HeaderMaxCost, wiring.HeaderMaxLatency:
			ex.wishes.read(hs[i].name, value)
		case wiring.HeaderMirror:
			ex.mirrorOf = value
		case wiring.HeaderTimeout, wiring.HeaderClientTimeout:
			ex.readDeadline(hs[i].name, value)
		case "anthropic-version":
			r.anthropicVersion = value
		case "anthropic-beta":
			ex.passing = append(ex.passing, translate.Header{Name: hs[i].name, Value: value})
		}
	}
	return r
}

// sse says whether a client of Google's asks for server-sent events.
func sse(query string) bool {
	for query != "" {
		var pair string
		if pair, query, _ = strings.Cut(query, "&"); pair == "alt=sse" {
			return true
		}
	}
	return false
}

func (ex *Exchange) tooLarge() *fault.Fault {
	return fault.New(fault.TooLarge, "The request's body is larger than the %d bytes that this gateway takes (limits.max_body_bytes).", ex.snap.Limits.MaxBody)
}

func clip(s string) string {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return strconv.Quote(s)
}
