// Package translate turns any client schema into any provider schema and back. There is one codec per schema
// (translate/openai, translate/anthropic …) and no code per pair: a request goes client → chat.Request → provider, an
// answer provider → chat events → client. When both sides speak one schema the bytes pass, and only what must change
// is changed.
package translate

import (
	"time"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

// Client is the codec of a schema that applications speak. A codec holds no state and is safe for concurrent use.
// Every error that a codec returns for a client's bytes is a *fault.Fault with Param set where a field is at fault.
type Client interface {
	Schema() chat.Schema

	// Parse validates body (strict JSON: syntax, UTF-8, nesting, duplicate members; types and presence of every field
	// that policy or any provider depends on) and reads its head in one pass. It keeps body.
	Parse(body []byte) (*chat.Head, error)

	// Decode reads the whole request. Parse has accepted the body.
	Decode(h *chat.Head) (*chat.Request, error)

	// EncodeResponse is a whole answer's body.
	EncodeResponse(r *chat.Response, o Answer) ([]byte, error)

	// NewEncoder makes the state that one streamed answer is written with.
	NewEncoder(o Answer) Encoder

	// EncodeFault is the status and body of an error. requestID is shown where the schema has a place for it.
	EncodeFault(f *fault.Fault, requestID string) (status int, body []byte)
}

// Answer says how an answer is to be written.
type Answer struct {
	RequestID    string      // for ids where the provider gave none
	Model        string      // shown where the provider named none (D131)
	IncludeUsage bool        // the client asked for the usage chunk of a stream
	Now          time.Time   // for `created` where the provider gave none (D136)
	Names        *chat.Names // of the attempt that was answered: tool names go back to the client's. The carrier applies it
	Head         *chat.Head  // the request, for schemas whose answers repeat it (Responses)
	Array        bool        // a stream is one JSON array instead of events (Gemini without alt=sse)
}

// Encoder writes one stream in the client's schema, SSE framing included.
type Encoder interface {
	// Encode appends what the client gets for ev: nothing, one or several SSE events. EventEnd writes the terminal event.
	// EventError is written as Fault would be.
	Encode(dst []byte, ev *chat.Event) []byte
	// Fault appends the schema's error event. Nothing may follow it.
	Fault(dst []byte, f *fault.Fault) []byte
}

// Target is what a request is encoded for.
type Target struct {
	BasePath  string // path of the provider's endpoint, no slash at the end: "/v1"; "" for none
	Model     string // the provider's own id for it
	MaxOutput int64  // the model's output cap in tokens, 0 when unknown; the default where the schema requires one (D45)
	Lossy     bool   // drop what has no counterpart even where it changes the meaning; else refuse with fault.Unsupported
	// Dialect names how the provider deviates from its schema (azure, mistral, vertex …), "" when it doesn't. A codec keeps
	// the deviations as data, one row each.
	Dialect      string
	APIVersion   string          // of Azure's classic API, "" for its v1 API
	Capabilities map[string]bool // of the model, see config.Model; nil: unknown, taken as able
	// Header looks up a header of the client's that may pass (Provider.ClientHeaders), by its lower-case name, for a
	// provider that wants it elsewhere; "" for none. nil: the client sent none.
	Header func(name string) string
}

// Upstream is a request as a provider gets it. The processor adds :method POST, content-type application/json and
// content-length; Envoy adds the credential.
type Upstream struct {
	Path    string
	Headers []Header // the schema's own: anthropic-version. One without a value is taken away
	Body    []byte
	Dropped []string    // paths of the client's fields that were left out: shown in x-dragoman-dropped
	Cut     string      // what the gateway had to cut from the request to make it fit, for x-dragoman-truncated
	Capped  string      // the cap that the gateway had to put on the output, for x-dragoman-capped
	Names   *chat.Names // nil unless tool names had to change (D14)
}

// NeedsBytes is the Code of a Provider's fault.Unsupported for media that the client gave as a URL: the request can be written
// once the bytes are there (D65).
const NeedsBytes = "needs_bytes"

// Header is one HTTP header, its name in lower case.
type Header struct{ Name, Value string }

// Provider is the codec of a schema that providers speak. A codec holds no state and is safe for concurrent use.
type Provider interface {
	Schema() chat.Schema

	// Encode writes a request that came in another schema.
	Encode(r *chat.Request, t Target) (*Upstream, error)

	// Rewrite makes the request from the client's own bytes, which are of this schema: it changes the model, what it
	// must for Dragoman to see the usage (D92), and nothing else.
	Rewrite(h *chat.Head, t Target) (*Upstream, error)

	// ClientHeaders names the request headers of a client of this schema that may pass to a provider of it
	// (anthropic-beta), in lower case.
	ClientHeaders() []string

	// DecodeResponse reads a whole 2xx answer. An error in a 200, or what is not this schema, is a *fault.Fault
	// (fault.ProviderFailed unless the body says better).
	DecodeResponse(body []byte) (*chat.Response, error)

	// PeekResponse reads only what accounting needs of a whole 2xx answer whose bytes pass to the client. It refuses what
	// DecodeResponse refuses on sight: not JSON, not an answer.
	PeekResponse(body []byte) (Seen, error)

	// NewDecoder makes the state that one streamed answer is read with. maxEvent bounds one SSE event in bytes.
	NewDecoder(maxEvent int) Decoder

	// NewTap makes the state that one streamed answer is watched with while its bytes pass to a client of the same schema.
	NewTap(maxEvent int, o Answer) Tap

	// DecodeFault classifies a non-2xx answer. header looks a response header up by its lower-case name. body may be cut
	// and need not be this schema's, or any JSON at all.
	DecodeFault(status int, header func(string) string, body []byte) *fault.Fault
}

// Decoder reads a provider's stream in pieces of any split.
type Decoder interface {
	// Decode calls emit for each event that p completes. After an error (*fault.Fault: framing, size, JSON) it must not be
	// called again.
	Decode(p []byte, emit func(*chat.Event)) error
	// Close is called at the end of the body. A stream without its terminal event is a fault (D118).
	Close(emit func(*chat.Event)) error
}

// Tap watches a stream whose bytes pass.
type Tap interface {
	// Write appends to dst what the client gets of p: p's complete events as they came, without the usage chunk that the
	// client did not ask for. An event in progress is kept back until it is whole.
	Write(dst, p []byte) ([]byte, error)
	// Close is called at the end of the body, as Decoder.Close.
	Close(dst []byte) ([]byte, error)
	Seen() *Seen
}

// Seen is what has been seen of an answer so far.
type Seen struct {
	ID           string
	Model        string
	Usage        chat.Usage
	Billed       chat.Billed // of Usage's answer, where the provider counts it apart (D90)
	Finish       chat.Finish
	RawFinish    string
	Content      bool         // something that a client would show has come
	End          bool         // the terminal event has come (for a whole answer: it was valid)
	Fault        *fault.Fault // an error event has come
	OutputBytes  int          // of text, thinking and tool arguments delivered, for estimates when the usage never came
	Events       int
	FirstContent bool // Content became true in the last Write
}

// OutputTokens estimates the tokens delivered so far, for answers that end before their usage came.
func (s *Seen) OutputTokens() int64 { return int64(s.OutputBytes+3) / 4 }

// Lister is a Client whose schema has a list of models.
type Lister interface {
	// EncodeModels is the body of the whole list.
	EncodeModels(models []ListedModel) []byte
	// EncodeModel is the body of one model.
	EncodeModel(m ListedModel) []byte
}

// ListedModel is one entry of GET /v1/models.
type ListedModel struct {
	Name      string
	OwnedBy   string // the provider's name, or dragoman for a route
	Context   int64  // window in tokens, 0: unknown
	MaxOutput int64  // tokens, 0: unknown
	// Prices in USD per million tokens, nil: unknown.
	InputPrice, OutputPrice *float64
	Capabilities            []string // tools, images …, see config.Model; nil: unknown, or a route
	Deprecated              bool     // its end has been announced
}
