package translatetest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// Codec is a schema's codec: both sides of it.
type Codec interface {
	Schema() chat.Schema
	translate.Client
	translate.Provider
}

// Answer is how every answer of the suite and of the golden cases is written.
var Answer = translate.Answer{RequestID: "req-1", Model: "auto", IncludeUsage: true, Now: time.Unix(1_735_000_000, 0)}

// maxEvent bounds a stream's event in the suite.
const maxEvent = 1 << 20

// Run holds a codec against the contract of translate.Client and translate.Provider, with the cases of its schema.
func Run(t *testing.T, c Codec) {
	cases, err := Cases(c.Schema())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("hostile bodies are faults", func(t *testing.T) { hostile(t, c) })
	t.Run("faults are read and told", func(t *testing.T) { faults(t, c) })
	for i := range cases {
		k := &cases[i]
		t.Run(k.Name, func(t *testing.T) {
			t.Run("request", func(t *testing.T) { request(t, c, k) })
			t.Run("broken request", func(t *testing.T) { brokenRequest(t, c, k) })
			t.Run("answer", func(t *testing.T) { answer(t, c, k) })
			t.Run("stream", func(t *testing.T) { stream(t, c, k) })
			t.Run("cut stream", func(t *testing.T) { cutStream(t, c, k) })
			t.Run("tap", func(t *testing.T) { tap(t, c, k) })
		})
	}
}

// mustFault fails unless err is a *fault.Fault with a message.
func mustFault(t *testing.T, err error, about string) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f == nil || f.Message == "" {
		t.Fatalf("%s: want a fault with a message, got %v", about, err)
	}
	return f
}

func same(t *testing.T, about string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", about, got, want)
	}
}
