package fakeprovider

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// gemini is the vendor Google, with both of its services: the Gemini API at /v1beta/models/… and, as newer SDKs have it,
// /v1/models/…, whose credential is an x-goog-api-key, and Vertex AI at /v1/projects/…/publishers/google/models/…, whose credential is a bearer token.
type gemini struct {
	opts   Options
	signer signer
	shapes map[string]map[string]any
}

func newGemini(o Options) (*gemini, error) {
	shapes, err := geminiMessages()
	return &gemini{o, signer("fake:" + o.Name), shapes}, err
}

var geminiRoots = []string{"/v1beta/models", "/v1/models"}

func (*gemini) path() string        { return geminiRoots[0] }
func (*gemini) listPaths() []string { return geminiRoots }

// geminiQueries: events instead of an array, and the page sizes that the SDKs ask for.
var geminiQueries = []string{"alt=sse", "pageSize=100", "pageSize=50", "pageSize=10"}

// geminiCall is a request's URL.
type geminiCall struct {
	vertex        bool
	model, method string
	events        bool // alt=sse
}

// geminiURL reads {collection}/{model}:{method}.
func geminiURL(hr *http.Request) (c geminiCall, ok bool) {
	rest := ""
	for _, root := range geminiRoots {
		if model, found := strings.CutPrefix(hr.URL.Path, root+"/"); found {
			rest = model
		}
	}
	if rest == "" {
		var found bool
		var project string
		if project, rest, found = strings.Cut(hr.URL.Path, "/publishers/google/models/"); !found || !vertexProject(project) {
			return c, false
		}
		c.vertex = true
	}
	at := strings.LastIndexByte(rest, ':')
	if at <= 0 || strings.Contains(rest, "/") {
		return c, false
	}
	c.model, c.method, c.events = rest[:at], rest[at+1:], hr.URL.RawQuery == "alt=sse"
	return c, geminiRequests[c.method] != "" && (c.vertex || c.method != "predict")
}

// vertexProject is /v1/projects/P/locations/L.
func vertexProject(path string) bool {
	p := strings.Split(path, "/")
	return len(p) == 6 && (p[1] == "v1" || p[1] == "v1beta1") && p[2] == "projects" && p[3] != "" && p[4] == "locations" && p[5] != ""
}

// geminiRequests are the methods and the messages that they take.
var geminiRequests = map[string]string{
	"generateContent": "GenerateContentRequest", "streamGenerateContent": "GenerateContentRequest", "countTokens": "CountTokensRequest",
	"embedContent": "EmbedContentRequest", "batchEmbedContents": "BatchEmbedContentsRequest", "predict": "PredictRequest",
}

func (*gemini) serves(hr *http.Request) bool {
	_, ok := geminiURL(hr)
	return ok
}

// headers: a bearer token beside an API key is somebody else's credential that has leaked.
func (*gemini) headers(h http.Header) []string {
	if h.Get("X-Goog-Api-Key") != "" {
		return []string{"x-goog-api-key"}
	}
	return []string{"authorization"}
}

func (v *gemini) authorize(h http.Header) *apiError {
	key := h.Get("X-Goog-Api-Key")
	token, bearer := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	switch {
	case key == "" && !bearer:
		return &apiError{status: 403, kind: "PERMISSION_DENIED", message: "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API."}
	case key != "" && !slices.Contains(v.opts.Keys, key):
		return &apiError{status: 400, kind: "INVALID_ARGUMENT", code: "API_KEY_INVALID", message: "API key not valid. Please pass a valid API key."}
	case key == "" && !slices.Contains(v.opts.Keys, token):
		return unauthenticated()
	}
	return nil
}

func unauthenticated() *apiError {
	return &apiError{status: 401, kind: "UNAUTHENTICATED", message: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."}
}

// standard headers of every answer.
func (*gemini) standard(serial int, _ int64) map[string]string {
	return map[string]string{
		"Vary": "Origin, X-Origin, Referer", "Server": "scaffolding on HTTPServer2", "X-Xss-Protection": "0", "X-Frame-Options": "SAMEORIGIN",
		"X-Content-Type-Options": "nosniff", "Server-Timing": fmt.Sprintf("gfet4t7; dur=%d", 100+serial%10), "X-Gemini-Service-Tier": "standard",
	}
}

// check is not called: the URL says what a body is.
func (v *gemini) check(http.Header, map[string]any) (*ask, *apiError) {
	return nil, v.refuse(http.StatusNotFound, "", "no such URL")
}

// checkAt is everything Google would refuse.
func (v *gemini) checkAt(hr *http.Request, body map[string]any) (*ask, *apiError) {
	c, _ := geminiURL(hr)
	if c.vertex != (hr.Header.Get("X-Goog-Api-Key") == "") {
		return nil, unauthenticated()
	}
	if !v.opts.knows(c.model) {
		return nil, v.modelNotFound(c.model)
	}
	if e := v.message(geminiRequests[c.method], body, c.vertex); e != nil {
		return nil, e
	}
	switch c.method {
	case "countTokens":
		return v.countTokens(&c, body)
	case "embedContent", "batchEmbedContents", "predict":
		return v.embed(&c, body)
	}
	for _, rule := range geminiRules {
		if e := rule(&c, body); e != nil {
			return nil, e
		}
	}
	if e := v.signatures(&c, body); e != nil {
		return nil, e
	}
	q := v.ask(&c, body)
	if q.stream && !c.events {
		q.body = func(id answerID) []byte { return v.array(q, id) }
	}
	return q, nil
}

// ask reads an accepted request.
func (v *gemini) ask(c *geminiCall, body map[string]any) *ask {
	config := obj(body["generationConfig"])
	q := &ask{
		model: c.model, stream: c.method == "streamGenerateContent", includeUsage: true, parallel: true, choice: "auto",
		maxTokens: integer(config["maxOutputTokens"]), n: int(max(integer(config["candidateCount"]), 1)), logprobs: boolean(config["responseLogprobs"]),
		words:    promptWords(body["contents"]) + promptWords(body["systemInstruction"]) + promptWords(body["tools"]),
		thinking: boolean(obj(config["thinkingConfig"])["includeThoughts"]), vertex: c.vertex,
	}
	for _, s := range list(config["stopSequences"]) {
		q.stops = append(q.stops, str(s))
	}
	if config["responseMimeType"] == "application/json" {
		q.jsonObject = true
		for _, name := range []string{"responseSchema", "responseJsonSchema"} {
			if s := obj(config[name]); s != nil {
				q.format = plainSchema(s)
			}
		}
	}
	for _, t := range list(body["tools"]) {
		for _, f := range list(obj(t)["functionDeclarations"]) {
			schema := obj(obj(f)["parameters"])
			if schema == nil {
				schema = obj(obj(f)["parametersJsonSchema"])
			}
			q.tools = append(q.tools, askTool{str(obj(f)["name"]), plainSchema(schema)})
		}
	}
	calling := obj(obj(body["toolConfig"])["functionCallingConfig"])
	switch str(calling["mode"]) {
	case "ANY":
		q.choice = "required"
		if names := list(calling["allowedFunctionNames"]); len(names) == 1 {
			q.choice, q.named = "named", str(names[0])
		}
	case "NONE":
		q.choice = "none"
	}
	for _, m := range list(body["contents"]) {
		geminiTurn(q, obj(m))
	}
	return q
}

// plainSchema is a schema of Google's dialect with the types of JSON Schema.
func plainSchema(s map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range s {
		switch v := v.(type) {
		case map[string]any:
			out[name] = plainSchema(v)
		case []any:
			items := make([]any, len(v))
			for i, e := range v {
				items[i] = e
				if m := obj(e); m != nil {
					items[i] = plainSchema(m)
				}
			}
			out[name] = items
		case string:
			out[name] = v
			if name == "type" {
				out[name] = strings.ToLower(v)
			}
		default:
			out[name] = v
		}
	}
	return out
}

func geminiTurn(q *ask, content map[string]any) {
	if str(content["role"]) == "model" {
		q.results = nil
		return
	}
	var texts []string
	for _, p := range list(content["parts"]) {
		part := obj(p)
		if f := obj(part["functionResponse"]); f != nil {
			text, failed := geminiResult(str(f["name"]), obj(f["response"]))
			id := str(f["id"])
			if id == "" {
				id = str(f["name"])
			}
			q.results = append(q.results, askResult{id, text, failed})
		}
		if s := str(part["text"]); !blank(s) {
			texts = append(texts, s)
		}
	}
	if len(texts) > 0 {
		q.text = strings.Join(texts, " ")
	}
}

// geminiResult is what a model makes of a function's response: `output` or `error`, or, in Google's earlier examples and of Vercel's
// AI SDK, `content` beside the function's name; else the whole object.
func geminiResult(function string, response map[string]any) (text string, failed bool) {
	if e, ok := response["error"]; ok {
		return str(e), true
	}
	if text = str(response["output"]); text != "" {
		return text, false
	}
	if text = str(response["content"]); text != "" && len(response) == 2 && str(response["name"]) == function {
		return text, false
	}
	return string(mustJSON(response)), false
}
