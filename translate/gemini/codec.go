// Package gemini is the codec of Google's generateContent, for applications that speak it (translate.Client) and for its
// two services (translate.Provider): the Gemini API of AI Studio, and Vertex AI (Target.Dialect "vertex"). Facts are of
// google.golang.org/genai v1.77.0 and of Google's discovery document of Vertex AI (google.golang.org/api v0.311.0,
// aiplatform/v1/aiplatform-api.json); a comment names the row (D1–D136) of the project's mapping table where one decided.
//
// The model and whether to stream stand in the path of a request, and not in its body: whoever calls Parse sets
// Head.Model and Head.Stream from the path before anything else reads the head. A stream without alt=sse is one JSON
// array (Answer.Array). Names of members may be written as lowerCamelCase or as in the proto files, as proto JSON has it.
package gemini

import (
	"net/url"
	"strings"
	"unsafe"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Vertex is the Target.Dialect of Vertex AI. Its BasePath is /v1/projects/P/locations/L/publishers/google.
const Vertex = "vertex"

// Codec is the schema of generateContent and streamGenerateContent. It holds no state.
type Codec struct{}

var (
	_ translate.Client   = Codec{}
	_ translate.Provider = Codec{}
	_ translate.Lister   = Codec{}
)

// Schema is chat.Gemini.
func (Codec) Schema() chat.Schema { return chat.Gemini }

// ClientHeaders is empty: what the SDKs add (x-goog-api-client, x-server-timeout) is telemetry of the client's, and
// x-goog-user-project names an account.
func (Codec) ClientHeaders() []string { return nil }

// Rewrite passes the client's bytes: the path names the model, and usage is in every answer. A model in the body, which
// the service takes beside the one of the path, is changed as well.
func (Codec) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	return &translate.Upstream{Path: path(t, method(h.Stream)), Body: renamed(h, t.Model)}, nil
}

const modelsPrefix = "models/"

// renamed is the body with the provider's model where it names one.
func renamed(h *chat.Head, model string) []byte {
	if h.Field("model") == nil {
		return h.Body
	}
	name := strictjson.AppendString(nil, wireName(model))
	return strictjson.Set(h.Body, h.Fields, strictjson.Member{Name: "model", Value: name})
}

func method(stream bool) string {
	if stream {
		return "streamGenerateContent?alt=sse" // else the answer is one JSON array
	}
	return "generateContent"
}

// wireName is a model with its collection: models/x, tunedModels/y.
func wireName(model string) string {
	if strings.HasPrefix(model, "tunedModels/") {
		return model
	}
	return modelsPrefix + strings.TrimPrefix(model, modelsPrefix)
}

// path is where a method of a model is.
func path(t translate.Target, method string) string {
	collection, name, _ := strings.Cut(wireName(t.Model), "/")
	return t.BasePath + "/" + collection + "/" + url.PathEscape(name) + ":" + method
}

// bytesOf is s without a copy, for who only reads it.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// view is b as a string without a copy, for bytes that nobody writes to while the string lives.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
