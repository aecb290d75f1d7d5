package processor

import (
	"crypto/subtle"
	"strconv"
	"strings"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/wiring"
	"dragoman/processor/auth"
	"dragoman/processor/window"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// onRequestHeaders is the part of a new request that needs no body: a caller who may not come in is told before he has
// uploaded anything. The headers are answered together with the body.
func (ex *Exchange) onRequestHeaders(in *inbound) error {
	r := ex.readHeaders(in.headers)
	r.peer, ex.tokens = in.peer, in.peer.tokens
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
	peer             peer
	forwardedCert    string // x-forwarded-client-cert
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
	} else if ex.principal, err = ex.caller(&r); err != nil {
		return err
	}
	if ex.badTimeout {
		return badTimeout()
	}
	if n, err := strconv.Atoi(r.contentLength); err == nil && n > ex.snap.Limits.MaxBody && (e.pass == nil || !e.pass.form) {
		return ex.tooLarge()
	}
	return nil
}

func badTimeout() *fault.Fault {
	return fault.New(fault.InvalidRequest, "The header %s takes seconds (30) or a duration with its unit (1500ms).", wiring.HeaderTimeout)
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
		case wiring.HeaderClientCert:
			r.forwardedCert = value
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
