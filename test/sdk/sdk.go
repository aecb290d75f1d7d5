// Package sdk holds what applications do with the providers' official SDKs, as cases that end in an error or not: the Go
// SDKs in this package, the Python ones in python/run.py. A case knows no gateway: the same ones run straight against the fake
// providers, which answer by rule (see fakeprovider's default reply), and against Dragoman for each provider schema.
package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Target is what a case talks to.
type Target struct {
	BaseURL string       // without a path: the cases add /v1 where an SDK wants it
	Key     string       // the client's credential
	Model   string       // as the client asks for it
	HTTP    *http.Client // nil: the SDK's own
	Size    int          // of an embedding model's vectors, 0: 1536
	NoUsage bool         // the provider does not say how many tokens an embedding took
}

// metered wants tokens where they are reported.
func (t *Target) metered(what string, n int64) error {
	if t.NoUsage {
		return equal(what, n, 0)
	}
	return positive(what, n)
}

func (t *Target) size() int {
	if t.Size == 0 {
		return 1536
	}
	return t.Size
}

// Case is one thing that applications do with an SDK.
type Case struct {
	Client string // the SDK, OpenAI's by its API: openai, responses, anthropic, gemini, cohere
	Name   string
	// Native: it holds only where the provider speaks the client's own schema, or a model can do what the case needs.
	Native bool
	Run    func(ctx context.Context, t Target) error
}

// Cases are all of them, OpenAI's first.
func Cases() []Case {
	return append(openaiCases(), anthropicCases()...)
}

// EveryChatCase is each case of every SDK that asks for chat.
func EveryChatCase() []Case {
	return slices.Concat(Cases(), ResponsesCases(), GeminiCases(), CohereCases())
}

// Timeout bounds one request of a case.
const Timeout = 20 * time.Second

// What all cases ask.
const (
	prompt   = "tell me more"
	answer   = "echo: tell me more"
	twoCalls = `Compare get_weather({"city":"Paris"}) with get_weather({"city":"Rome"}) please`
)

var cities = []string{"Paris", "Rome"}

// weatherSchema is the parameters of the tool get_weather.
func weatherSchema() map[string]any {
	return map[string]any{
		"type": "object", "additionalProperties": false, "required": []string{"city"},
		"properties": map[string]any{"city": map[string]any{"type": "string", "description": "Name of a city"}},
	}
}

// personSchema is a structured output.
func personSchema() map[string]any {
	return map[string]any{
		"type": "object", "additionalProperties": false, "required": []string{"name", "age"},
		"properties": map[string]any{"name": map[string]any{"type": "string"}, "age": map[string]any{"type": "integer"}},
	}
}

func checkPerson(text string) error {
	var p struct {
		Name *string `json:"name"`
		Age  *int    `json:"age"`
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil || p.Name == nil || p.Age == nil {
		return fmt.Errorf("structured output %q: %v", text, err)
	}
	return nil
}

// city reads the argument of a call.
func city(arguments string) (string, error) {
	var a struct {
		City string `json:"city"`
	}
	if err := json.Unmarshal([]byte(arguments), &a); err != nil {
		return "", fmt.Errorf("arguments %q: %w", arguments, err)
	}
	return a.City, nil
}

// equal is an error that names what differs.
func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: %v, want %v", what, got, want)
	}
	return nil
}

func positive(what string, n int64) error {
	if n <= 0 {
		return fmt.Errorf("%s: %d", what, n)
	}
	return nil
}

// wantStatus wants err to carry this HTTP status; status reads it from the SDK's error type.
func wantStatus(err error, want int, status func(error) (int, string)) error {
	if err == nil {
		return fmt.Errorf("no error, want status %d", want)
	}
	got, message := status(err)
	if got == 0 {
		return fmt.Errorf("not an API error: %w", err)
	}
	return errors.Join(equal("status", got, want), present("the error's message", message))
}

func present(what, s string) error {
	if s == "" {
		return errors.New(what + " is empty")
	}
	return nil
}

// pixel is a PNG of one pixel, in base64.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
