// Package fakeprovider serves strict stand-ins for the OpenAI and the Anthropic API on loopback. A fake validates what it
// receives as the vendor does and refuses the rest in the vendor's own words; it accepts no header that a vendor has no
// use for; it keeps every request for assertions; it answers by script, or, without one, deterministically from the
// request itself; and it can be told to fail in every way that providers do.
//
// OpenAI requests are checked against the vendor's OpenAPI description (testdata/openai.chat.json) and the rules that it
// does not state; Anthropic ones against tables made from the official SDK's types (anthropic_types.go); Bedrock ones against
// the vendor's description (testdata/bedrock.converse.json) and its rules, signatures included (bedrock_sign.go); Gemini ones
// against Google's discovery document (testdata/gemini.vertex.json) and what the official SDK knows beyond it (gemini_shape.go).
package fakeprovider

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Schema names the API that a fake speaks.
type Schema string

// The schemas.
const (
	OpenAI    Schema = "openai"
	Anthropic Schema = "anthropic"
	Bedrock   Schema = "bedrock"
	Cohere    Schema = "cohere"
	Gemini    Schema = "gemini" // Google AI Studio and Vertex AI: the path of a request says which
)

// DefaultKey is the credential that a fake expects when Options.Keys is empty.
const DefaultKey = "sk-fake-0123456789abcdef"

// DefaultModels are served when Options.Models is empty: for each schema a few of the vendor's names.
var DefaultModels = map[Schema][]string{
	OpenAI:    {"gpt-4.1", "gpt-4.1-mini", "gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano", "o4-mini"},
	Responses: {"gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-mini", "o4-mini"},
	Anthropic: {"claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-haiku-4-5-20251001"},
	Cohere:    {"command-a-03-2025", "command-a-reasoning-08-2025", "command-r7b-12-2024"},
	Gemini:    {"gemini-3-flash-preview", "gemini-3-pro-preview", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash", "gemini-embedding-001"},
	Bedrock: {"eu.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-3-haiku-20240307-v1:0", "amazon.nova-2-lite-v1:0", "meta.llama3-3-70b-instruct-v1:0", "mistral.mistral-large-2407-v1:0",
		"arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0"},
}

// Options of one fake. The zero value of each field has a use.
type Options struct {
	Schema Schema
	Name   string   // part of ids and of the key that signs thinking blocks; default the schema
	Keys   []string // accepted credentials; default DefaultKey
	Models []string // known models, "*" for any; default DefaultModels of the schema
	Addr   string   // default 127.0.0.1:0

	// CA makes the fake serve TLS (HTTP/2 and HTTP/1.1 by ALPN) with a certificate for localhost and 127.0.0.1. In
	// clear it speaks HTTP/1.1 and, to clients with prior knowledge, HTTP/2.
	CA *CA

	// AllowHeaders adds to the request headers that are let through, in lower case, `*` at the end allowed. Tests that
	// point an SDK straight at a fake pass SDKHeaders; what comes through a gateway needs none.
	AllowHeaders []string

	// ReasoningContent makes an OpenAI fake return thinking blocks as `reasoning_content`, and accept it in assistant
	// messages, as OpenAI-compatible vendors do. OpenAI itself knows no such field.
	ReasoningContent bool

	// Dialect makes an OpenAI fake one of the vendors that copied the API (dialect.go): azure, mistral, groq, deepseek,
	// openrouter, ollama, xai; an Anthropic fake Claude on vertex. It refuses what that vendor refuses.
	Dialect    string
	APIVersion string // of an Azure fake: it serves the classic API, and only this version of it

	// PromptCache makes a fake charge the beginning of a prompt that it has seen before as read from its cache (OpenAI, Anthropic).
	PromptCache bool

	AWS *AWSKey // of a Bedrock fake; default DefaultAWSKey. Keys are its API keys then, which it takes as bearer tokens

	MaxBody int64            // largest request body in bytes; default the vendor's (Anthropic 32 MB, OpenAI 64 MB here)
	MaxHold time.Duration    // longest time a hanging or stalling answer is held; default 60 s
	Now     func() time.Time // default time.Now
}

// SDKHeaders are what the official SDKs add to every request, beyond what the vendors' APIs use.
var SDKHeaders = []string{"x-stainless-*", "idempotency-key", "amz-sdk-*", "x-fern-*", "x-goog-api-client", "x-server-timeout"}

// Server is one fake provider. All methods are safe for concurrent use.
type Server struct {
	opts    Options
	vendor  vendor
	prompts promptCache
	http    *http.Server
	ctx     context.Context // ends with Close: releases every held answer
	stop    context.CancelFunc
	addr    string
	served  sync.WaitGroup

	net    sync.Mutex // guards what follows
	accept *acceptor  // nil while refused
	parked *parkedPort
	closed bool

	mu       sync.Mutex // guards what follows
	rules    []*activeRule
	requests []*Request
	problems []string
	counts   Counters
	serial   int
	epoch    int // counts Resets
}

// New starts a fake. The caller must Close it.
func New(o Options) (*Server, error) {
	o, v, err := complete(o)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{opts: o, vendor: v, ctx: ctx, stop: stop}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 30 * time.Second, Protocols: new(http.Protocols), ErrorLog: quiet}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetUnencryptedHTTP2(o.CA == nil)
	if o.CA != nil {
		cert, err := o.CA.Issue("localhost", "127.0.0.1")
		if err != nil {
			stop()
			return nil, err
		}
		s.http.Protocols.SetHTTP2(true)
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	if err := s.listen(o.Addr); err != nil {
		stop()
		return nil, err
	}
	return s, nil
}

// Start is New for a test: the fake is closed with it, and whatever Unexpected then holds fails the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		for _, p := range s.Unexpected() {
			t.Errorf("fake provider %s: %s", s.opts.Name, p)
		}
	})
	return s
}

func complete(o Options) (Options, vendor, error) {
	if o.Name == "" {
		o.Name = string(o.Schema)
	}
	if len(o.Keys) == 0 {
		o.Keys = []string{DefaultKey}
	}
	if len(o.Models) == 0 {
		o.Models = DefaultModels[o.Schema]
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.MaxHold == 0 {
		o.MaxHold = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch o.Schema {
	case OpenAI:
		if o.MaxBody == 0 {
			o.MaxBody = 64 << 20
		}
		if o.Dialect != "" {
			v, err := newDialect(o)
			return o, v, err
		}
		v, err := newOpenAI(o)
		return o, v, err
	case Responses:
		if o.MaxBody == 0 {
			o.MaxBody = 64 << 20
		}
		v, err := newResponses(o)
		return o, v, err
	case Anthropic:
		if o.MaxBody == 0 {
			o.MaxBody = 32 << 20
		}
		switch o.Dialect {
		case "":
			return o, newAnthropic(o), nil
		case "vertex":
			return o, &vertexClaude{newAnthropic(o)}, nil
		}
		return o, nil, fmt.Errorf("fakeprovider: Anthropic's schema has no dialect %q", o.Dialect)
	case Cohere:
		if o.MaxBody == 0 {
			o.MaxBody = 20 << 20
		}
		return o, &cohere{o}, nil
	case Gemini:
		if o.MaxBody == 0 {
			o.MaxBody = 100 << 20
		}
		v, err := newGemini(o)
		return o, v, err
	case Bedrock:
		if o.MaxBody == 0 {
			o.MaxBody = 64 << 20
		}
		if o.AWS == nil {
			o.AWS = &DefaultAWSKey
		}
		v, err := newBedrock(o)
		return o, v, err
	}
	return o, nil, fmt.Errorf("fakeprovider: no schema %q", o.Schema)
}

// Addr is host:port; it stays the same through Refuse and Accept.
func (s *Server) Addr() string { return s.addr }

// Origin is the base URL without a path: http://127.0.0.1:port.
func (s *Server) Origin() string {
	if s.opts.CA != nil {
		return "https://" + s.addr
	}
	return "http://" + s.addr
}

// URL is the base URL as the vendor's SDKs take it: with /v1 for OpenAI, without for Anthropic.
func (s *Server) URL() string {
	if s.opts.Schema == OpenAI || s.opts.Schema == Responses {
		return s.Origin() + "/v1"
	}
	return s.Origin()
}

// knows says whether the vendor has a model.
func (o *Options) knows(model string) bool {
	return model != "" && (slices.Contains(o.Models, model) || slices.Contains(o.Models, "*"))
}

// Schema is the API it speaks.
func (s *Server) Schema() Schema { return s.opts.Schema }

// Name is Options.Name.
func (s *Server) Name() string { return s.opts.Name }

// Key is the first accepted credential.
func (s *Server) Key() string { return s.opts.Keys[0] }

// CA is the authority of its certificate, nil in clear.
func (s *Server) CA() *CA { return s.opts.CA }

// Models are the known models.
func (s *Server) Models() []string { return slices.Clone(s.opts.Models) }

// Model is the first known model.
func (s *Server) Model() string { return s.opts.Models[0] }

// Close ends every connection and held answer, and returns when all handlers have ended.
func (s *Server) Close() {
	s.net.Lock()
	closed := s.closed
	s.closed = true
	s.net.Unlock()
	if closed {
		return
	}
	s.stop()
	_ = s.http.Close()
	s.net.Lock()
	if s.parked != nil {
		s.parked.close()
		s.parked = nil
	}
	s.net.Unlock()
	s.served.Wait()
}
