package fakeprovider

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"dragoman/translate/eventstream"
)

// bedrock is Amazon Bedrock's Converse and ConverseStream. Requests are held against the vendor's description
// (testdata/bedrock.converse.json) and the rules that it does not state (bedrock_rules.go); credentials are SigV4
// signatures, which are recomputed, or the service's API keys as a bearer token.
type bedrock struct {
	opts   Options
	shapes map[string]*bedrockShape
	signer signer
}

func newBedrock(o Options) (*bedrock, error) {
	shapes, err := bedrockShapes()
	return &bedrock{o, shapes, signer("fake:" + o.Name)}, err
}

var (
	_ vendor = (*bedrock)(nil)
	_ routed = (*bedrock)(nil)
	_ framed = (*bedrock)(nil)
	_ signed = (*bedrock)(nil)
)

func (*bedrock) path() string { return "" } // see serves

const (
	conversePath       = "/converse"
	converseStreamPath = "/converse-stream"
)

// route takes a path apart: /model/{modelId}/converse. The id is one segment: its slashes are escaped.
func (*bedrock) route(escaped string) (operation string, ok bool) {
	parts := strings.Split(escaped, "/")
	if len(parts) != 4 || parts[0] != "" || parts[1] != "model" || parts[2] == "" {
		return "", false
	}
	operation = "/" + parts[3]
	return operation, operation == conversePath || operation == converseStreamPath
}

func (v *bedrock) serves(hr *http.Request) bool {
	_, ok := v.route(hr.URL.EscapedPath())
	return ok
}

// headers: a signature and an API key exclude each other by sharing a header.
func (*bedrock) headers(http.Header) []string {
	return []string{"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amzn-bedrock-accept"}
}

func (v *bedrock) authorize(h http.Header) *apiError {
	auth := h.Get("Authorization")
	switch key, bearer := strings.CutPrefix(auth, "Bearer "); {
	case auth == "":
		return notSigned("MissingAuthenticationTokenException", "Missing Authentication Token")
	case bearer && !slices.Contains(v.opts.Keys, key):
		return notSigned("AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.")
	}
	return nil
}

// verify checks the signature, which covers path and body.
func (v *bedrock) verify(hr *http.Request, body []byte) *apiError {
	if strings.HasPrefix(hr.Header.Get("Authorization"), "Bearer ") {
		return nil
	}
	return v.opts.AWS.verify(hr, body, v.opts.Now())
}

func (*bedrock) standard(serial int, _ int64) map[string]string {
	return map[string]string{"X-Amzn-Requestid": fmt.Sprintf("00000000-0000-4000-8000-%012d", serial)}
}

// checkAt is everything that Bedrock would refuse, in the order in which it does.
func (v *bedrock) checkAt(hr *http.Request, body map[string]any) (*ask, *apiError) {
	operation, _ := v.route(hr.URL.EscapedPath())
	id := strings.TrimSuffix(strings.TrimPrefix(hr.URL.Path, "/model/"), operation)
	if !v.opts.knows(id) {
		return nil, v.modelNotFound(id)
	}
	c := bedrockChecker{shapes: v.shapes}
	shape := "ConverseRequest"
	if operation == converseStreamPath {
		shape = "ConverseStreamRequest"
	}
	if c.check("", shape, body); c.err != nil {
		return nil, c.err
	}
	facts := bedrockModelOf(id)
	for _, rule := range bedrockRules {
		if e := rule(body, &facts); e != nil {
			return nil, e
		}
	}
	if e := v.signatures(body, &facts); e != nil {
		return nil, e
	}
	q := v.ask(body)
	q.model, q.stream = id, operation == converseStreamPath
	return q, nil
}

// check is never asked: checkAt is.
func (*bedrock) check(http.Header, map[string]any) (*ask, *apiError) {
	return nil, invalidAt("The request has no model.")
}

func (v *bedrock) ask(body map[string]any) *ask {
	inference, extra := obj(body["inferenceConfig"]), obj(body["additionalModelRequestFields"])
	q := &ask{
		parallel: true, choice: "auto", n: 1, includeUsage: true, maxTokens: integer(inference["maxTokens"]),
		words:     promptWords(body["messages"]) + promptWords(body["system"]) + promptWords(body["toolConfig"]),
		thinking:  bedrockThinks(extra),
		wantsStop: slices.Contains(list(body["additionalModelResponseFieldPaths"]), any("/stop_sequence")),
	}
	q.hideThinking = str(obj(extra["thinking"])["display"]) == "omitted"
	for _, s := range list(inference["stopSequences"]) {
		q.stops = append(q.stops, str(s))
	}
	format := obj(obj(obj(obj(body["outputConfig"])["textFormat"])["structure"])["jsonSchema"])
	if schema, err := parseJSON([]byte(str(format["schema"]))); err == nil {
		q.format = obj(schema)
	}
	config := obj(body["toolConfig"])
	for _, t := range list(config["tools"]) {
		if spec := obj(obj(t)["toolSpec"]); spec != nil {
			q.tools = append(q.tools, askTool{str(spec["name"]), obj(obj(spec["inputSchema"])["json"])})
		}
	}
	bedrockChoice(q, obj(config["toolChoice"]), obj(extra["tool_choice"]))
	for _, m := range list(body["messages"]) {
		bedrockTurn(q, obj(m))
	}
	return q
}

// bedrockThinks: thinking is on, in the terms of any family.
func bedrockThinks(extra map[string]any) bool {
	kind := str(obj(extra["thinking"])["type"])
	return kind != "" && kind != "disabled" || str(obj(extra["reasoningConfig"])["type"]) == "enabled" || extra["reasoning_effort"] != nil
}

func bedrockChoice(q *ask, choice, native map[string]any) {
	switch {
	case choice["any"] != nil || str(native["type"]) == "any":
		q.choice = "required"
	case choice["tool"] != nil:
		q.choice, q.named = "named", str(obj(choice["tool"])["name"])
	case str(native["type"]) == "tool":
		q.choice, q.named = "named", str(native["name"])
	}
	q.parallel = !boolean(native["disable_parallel_tool_use"])
}

func bedrockTurn(q *ask, msg map[string]any) {
	q.results = nil
	if str(msg["role"]) != "user" {
		return
	}
	var text []string
	for _, b := range list(msg["content"]) {
		blk := obj(b)
		if r := obj(blk["toolResult"]); r != nil {
			q.results = append(q.results, askResult{str(r["toolUseId"]), bedrockText(r["content"]), str(r["status"]) == "error"})
		}
		if t, ok := blk["text"].(string); ok {
			text = append(text, t)
		}
	}
	if len(text) > 0 {
		q.text = strings.Join(text, "")
	}
}

func bedrockText(content any) string {
	var b strings.Builder
	for _, part := range list(content) {
		b.WriteString(str(obj(part)["text"]))
		if j := obj(part)["json"]; j != nil {
			b.Write(mustJSON(j))
		}
	}
	return b.String()
}

// model and models are never asked: the service that lists models is another one.
func (*bedrock) model(name string) any      { return map[string]any{"modelId": name} }
func (*bedrock) models(items []any) any     { return map[string]any{"modelSummaries": items} }
func (*bedrock) notJSON(d string) *apiError { return refuseBedrock(400, "SerializationException", d) }

func refuseBedrock(status int, kind, message string) *apiError {
	return &apiError{status: status, kind: kind, message: message}
}

func invalidAt(format string, args ...any) *apiError {
	return refuseBedrock(http.StatusBadRequest, "ValidationException", fmt.Sprintf(format, args...))
}

func (*bedrock) refuse(status int, kind, message string) *apiError {
	if kind == "" || !strings.HasSuffix(kind, "Exception") {
		kind = "ValidationException"
	}
	return refuseBedrock(status, kind, message)
}

func (*bedrock) modelNotFound(string) *apiError {
	return invalidAt("The provided model identifier is invalid.")
}

func (*bedrock) notFound(string, string, bool) *apiError {
	return refuseBedrock(http.StatusNotFound, "UnknownOperationException", "")
}

// bedrockFaults are the vendor's words for each status.
var bedrockFaults = map[int]apiError{
	400: {kind: "ValidationException", message: "The request is invalid."},
	401: {kind: "UnrecognizedClientException", message: "The security token included in the request is invalid."},
	403: {kind: "AccessDeniedException", message: "You don't have access to the model with the specified model ID."},
	404: {kind: "ResourceNotFoundException", message: "Could not resolve the foundation model from the provided model identifier."},
	408: {kind: "ModelTimeoutException", message: "Model timed out. Try your request again."},
	424: {kind: "ModelErrorException", message: "The system encountered an unexpected error during processing. Try your request again."},
	429: {kind: "ThrottlingException", message: "Too many requests, please wait before trying again."},
	500: {kind: "InternalServerException", message: "The system encountered an unexpected error during processing. Try your request again."},
	503: {kind: "ServiceUnavailableException", message: "Bedrock is unable to process your request."},
}

func (*bedrock) fault(f *Fault, model string) *apiError {
	status := f.Status
	if status == 529 { // the default of an error event: AWS has no such status
		status = http.StatusServiceUnavailable
	}
	e, ok := bedrockFaults[status]
	if !ok {
		e = apiError{kind: "InternalServerException", message: http.StatusText(status)}
	}
	e2 := e.with(f, model)
	e2.status = status
	return e2
}

func (*bedrock) errorBody(e *apiError, _ answerID) []byte {
	return mustJSON(map[string]any{"message": e.message})
}

// errorHeader names the error: the body does not.
func (*bedrock) errorHeader(e *apiError) (name, value string) {
	return "X-Amzn-Errortype", e.kind + ":http://internal.amazon.com/coral/com.amazon.bedrock/"
}

func (v *bedrock) errorEvent(e *apiError, id answerID) frame {
	kind := strings.ToLower(e.kind[:1]) + e.kind[1:]
	return frame{data: bedrockMessage("exception", kind, v.errorBody(e, id))}
}

func (*bedrock) media() string { return "application/vnd.amazon.eventstream" }

// endless begins a message that promises size bytes of payload.
func (*bedrock) endless(size int) []byte {
	whole := eventstream.Append(nil, nil, make([]byte, size))
	return whole[:12]
}

func bedrockMessage(what, kind string, payload []byte) []byte {
	return eventstream.Append(nil, []eventstream.Header{
		eventstream.StringHeader(":"+what+"-type", kind),
		eventstream.StringHeader(":content-type", "application/json"),
		eventstream.StringHeader(":message-type", what),
	}, payload)
}
