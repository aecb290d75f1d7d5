package processor

import (
	"strconv"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/wiring"
	"dragoman/processor/auth"
	"dragoman/processor/cache"
	"dragoman/processor/limit"
	"dragoman/processor/route"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// onRequestHeaders is the part of a new request that needs no body: a caller who may not come in is told before he has
// uploaded anything. The headers are answered together with the body.
func (ex *Exchange) onRequestHeaders(in *inbound) error {
	r := ex.readHeaders(in.headers)
	if err := ex.enter(r); err != nil {
		return ex.refuse(err)
	}
	switch ex.endpoint.op {
	case opModels, opModel:
		return ex.answerModels(r.path)
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
	answered, err := ex.admit()
	if err != nil {
		return ex.refuse(err)
	}
	if answered {
		return nil
	}
	return ex.order()
}

// incoming is what the steps read of the request's headers.
type incoming struct {
	method, path     string // the query cut off
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
	if (e.op == opModels || e.op == opModel) && r.anthropicVersion != "" {
		ex.endpoint = &endpoint{e.path, e.method, e.op, anthropicCodec}
	}
	if ex.principal, err = auth.Authenticate(ex.snap.Keys, r.credentials); err != nil {
		return err
	}
	if n, err := strconv.Atoi(r.contentLength); err == nil && n > ex.snap.Limits.MaxBody {
		return ex.tooLarge()
	}
	return nil
}

// resolve finds the endpoint; even a request for none gets its answer in the schema that its path suggests.
func (ex *Exchange) resolve(r incoming) (*endpoint, error) {
	e := find(r.path)
	if e == nil {
		ex.endpoint = &endpoint{path: "unknown", client: clientFor(r.path, r.anthropicVersion)}
		return nil, fault.New(fault.NotFound, "There is no endpoint %s here. The gateway serves POST /v1/chat/completions, POST /v1/messages and GET /v1/models.", clip(r.path))
	}
	ex.endpoint = e
	if e.method != r.method {
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
	if err := ex.reserve(); err != nil {
		return false, err
	}
	if ex.lookup() {
		return true, ex.replay()
	}
	return false, ex.choose(rt)
}

// parse reads the head of the body, and refuses what no provider would take.
func (ex *Exchange) parse() (err error) {
	ex.head, err = ex.endpoint.client.Parse(ex.body)
	return err
}

// permit resolves the model asked for and asks whether the principal may use it.
func (ex *Exchange) permit() (*config.Route, error) {
	rt, err := ex.snap.Lookup(ex.head.Model)
	if err != nil {
		return nil, err
	}
	ex.route = rt.Name
	return rt, auth.Permit(ex.principal, ex.head.Model, rt)
}

// reserve takes the request's worst case from every limit above the key; settle gives back what was not used.
func (ex *Exchange) reserve() error {
	if len(ex.principal.Levels) == 0 {
		return nil
	}
	reservation, status, err := ex.s.Counters.Reserve(ex.s.Now(), ex.principal.Levels, limit.WorstCase(ex.principal.Levels, ex.head.InputTokens(), ex.head.MaxTokens, ex.head.N))
	ex.limits = status
	if err != nil {
		ex.s.Metrics.LimitRefused(ex.principal.Tenant)
		return err
	}
	ex.reservation = reservation
	return nil
}

// lookup asks the cache. Whether an answer may be stored is decided here too.
func (ex *Exchange) lookup() bool {
	backend := ex.s.Cache()
	if !backend.Enabled() {
		return false
	}
	ex.cacheState = "bypass"
	if ex.noStore || len(ex.passing) > 0 {
		return false // a beta header changes the answer, and is no part of the key
	}
	request, err := ex.decoded()
	if err != nil || !cache.Cacheable(request) {
		return false
	}
	ex.cacheKey = cache.KeyOf(ex.principal.Tenant, request)
	ex.caching, ex.cacheState = true, "miss"
	if ex.noCache {
		return false
	}
	entry, hit := backend.Get(ex.stream.Context(), ex.cacheKey)
	if !hit {
		ex.s.Metrics.Cache(ex.cacheState)
		return false
	}
	ex.hit = entry
	ex.cacheState = "hit"
	ex.s.Metrics.Cache(ex.cacheState)
	return true
}

// choose scores the candidates and plans the attempts.
func (ex *Exchange) choose(rt *config.Route) (err error) {
	ex.decision, err = route.Choose(ex.snap, ex.s.Health.View(), query(ex.head, rt, ex.s.Random(), ex.s.Now()))
	return err
}

// query is what the choice depends on.
func query(h *chat.Head, rt *config.Route, random float64, now time.Time) route.Query {
	return route.Query{
		Asked: h.Model, Route: rt, InputTokens: h.InputTokens(), MaxTokens: h.MaxTokens, Stream: h.Stream,
		Tools: h.Tools > 0, Images: h.Images > 0, Schema: h.Schema, Random: random, Now: now,
	}
}

// order sends the request to its first provider and tells Envoy where to go from there.
func (ex *Exchange) order() error {
	up, err := ex.encodeFirst()
	if err != nil {
		return ex.refuse(err)
	}
	step := &ex.decision.Plan[0]
	ex.noteDropped(1, up.Dropped)
	ex.id = ex.s.NewID()
	ex.s.exchanges.add(ex)
	ex.phase = ordered

	h := newHeaders()
	ex.setUpstream(&h, up, step)
	h.set(wiring.HeaderOrdered, "1")
	h.set(wiring.HeaderMaxRetries, strconv.Itoa(len(ex.decision.Plan)-1))
	if elsewhere(ex.decision.Plan) {
		h.set(wiring.HeaderRetryCodes, wiring.ElsewhereCodes)
	}
	if ex.probes() {
		h.set(wiring.HeaderProbe, "1")
	}
	if err := ex.send(orderedHeaders(&h, ex.id, string(ex.head.Schema), ex.decision.Plan)); err != nil {
		return err
	}
	if err := ex.send(requestBody(up.Body, !ex.trailers)); err != nil || !ex.trailers {
		return err
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
	codec := providers[step.Provider.Schema]
	target := translate.Target{BasePath: step.Provider.BasePath, Model: step.Model.ID, MaxOutput: step.Model.MaxOutput}
	if codec.Schema() == ex.head.Schema {
		return codec.Rewrite(ex.head, target)
	}
	request, err := ex.decoded()
	if err != nil {
		return nil, err
	}
	return codec.Encode(request, target)
}

// setUpstream writes what an attempt's request needs of headers; Envoy adds the credential.
func (ex *Exchange) setUpstream(h *headers, up *translate.Upstream, step *route.Step) {
	h.set(":path", up.Path)
	h.set("content-type", "application/json")
	h.set("content-length", strconv.Itoa(len(up.Body)))
	for _, p := range ex.passing {
		if step.Provider.Schema == ex.head.Schema {
			h.set(p.Name, p.Value)
		} else {
			h.remove(p.Name) // else a client of another schema could speak to this provider past the translation
		}
	}
	for _, p := range up.Headers {
		h.set(p.Name, p.Value)
	}
}

// probes says whether attempt filters are to hold the answer until its first event.
func (ex *Exchange) probes() bool {
	switch ex.snap.Retry.Probe {
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
			r.path, _, _ = strings.Cut(value, "?")
		case ":method":
			r.method = value
		case "content-length":
			r.contentLength = value
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
		case "cache-control":
			ex.noStore, ex.noCache = cache.Control(value)
		case wiring.HeaderDebug:
			ex.debug = value == "route"
		case "anthropic-version":
			r.anthropicVersion = value
		case "anthropic-beta":
			ex.passing = append(ex.passing, translate.Header{Name: hs[i].name, Value: value})
		}
	}
	return r
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
