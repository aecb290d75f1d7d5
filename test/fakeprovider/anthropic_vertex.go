package fakeprovider

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// vertexClaude is Claude on Vertex AI, after the vendor's Go SDK (package vertex of anthropic-sdk-go 1.84.0): the model and whether to
// stream are in the path, the API's version and the beta features in the body, and the credential is a bearer token. What Google's own
// front refuses it refuses in Google's words.
type vertexClaude struct{ *anthropic }

const (
	claudePublisher = "/publishers/anthropic/models/"
	claudeCount     = "count-tokens:rawPredict"
)

// claudeBetas are features that are known there; the service refuses others.
var claudeBetas = []string{"context-1m-2025-08-07", "interleaved-thinking-2025-05-14", "tool-search-tool-2025-10-19", "web-search-2025-03-05"}

// claudeURL reads {project}/publishers/anthropic/models/{model}:{method}.
func claudeURL(hr *http.Request) (model, method string, ok bool) {
	project, rest, found := strings.Cut(hr.URL.Path, claudePublisher)
	if !found || !vertexProject(project) || strings.Contains(rest, "/") {
		return "", "", false
	}
	at := strings.LastIndexByte(rest, ':')
	if at <= 0 {
		return "", "", false
	}
	return rest[:at], rest[at+1:], rest[at+1:] == "rawPredict" || rest[at+1:] == "streamRawPredict"
}

func (*vertexClaude) serves(hr *http.Request) bool {
	_, _, ok := claudeURL(hr)
	return ok
}

// headers: no version and no feature goes by a header.
func (*vertexClaude) headers(http.Header) []string { return []string{"authorization"} }

func (v *vertexClaude) authorize(h http.Header) *apiError {
	if token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); !ok || !slices.Contains(v.opts.Keys, token) {
		return unauthenticated()
	}
	return nil
}

// check is not called: the URL says what a body is.
func (v *vertexClaude) check(http.Header, map[string]any) (*ask, *apiError) {
	return nil, v.refuse(http.StatusNotFound, "", "no such URL")
}

// checkAt gives the rest of the rules a request as Anthropic itself would get it.
func (v *vertexClaude) checkAt(hr *http.Request, body map[string]any) (*ask, *apiError) {
	model, method, _ := claudeURL(hr)
	if strings.HasSuffix(hr.URL.Path, claudePublisher+claudeCount) {
		plain := maps.Clone(body)
		delete(plain, "anthropic_version") // the vendor's SDK sends it here too
		return v.checkCount(plain)
	}
	switch {
	case str(body["anthropic_version"]) != "vertex-2023-10-16":
		return nil, refuseAt("anthropic_version", "Field required")
	case body["model"] != nil:
		return nil, refuseAt("model", "Extra inputs are not permitted")
	case boolean(body["stream"]) != (method == "streamRawPredict"):
		return nil, refuseAt("stream", "does not go with the method %s", method)
	}
	for _, beta := range list(body["anthropic_beta"]) {
		if !slices.Contains(claudeBetas, str(beta)) {
			return nil, refuseAt("anthropic_beta", "Unexpected value(s) `%s` for the `anthropic-beta` header.", str(beta))
		}
	}
	plain := maps.Clone(body)
	delete(plain, "anthropic_version")
	delete(plain, "anthropic_beta")
	plain["model"] = model
	return v.anthropic.check(http.Header{"Anthropic-Version": {version2023}}, plain)
}

// errorBody: Google's front answers in Google's shape, as a list of one (D122).
func (v *vertexClaude) errorBody(e *apiError, id answerID) []byte {
	if e.kind != strings.ToUpper(e.kind) || e.kind == "" {
		return v.anthropic.errorBody(e, id)
	}
	return mustJSON([]any{map[string]any{"error": map[string]any{"code": e.status, "message": e.message, "status": e.kind}}})
}
