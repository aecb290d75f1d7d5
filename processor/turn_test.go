package processor

import (
	"bytes"
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"dragoman/processor/turns"
)

// counted is a store of turns that counts what it was given.
type counted struct {
	turns.Store
	puts atomic.Int32
}

func (c *counted) Put(ctx context.Context, entries ...turns.Entry) error {
	err := c.Store.Put(ctx, entries...)
	c.puts.Add(1)
	return err
}

// watched is a tape that looks what is stored at the moment when the client is told that its answer is complete.
type watched struct {
	tape
	store  *counted
	mark   []byte
	stored int32 // -1 until then
}

func (w *watched) SendMsg(m any) error {
	if o := m.(*outbound); w.stored < 0 && (bytes.Contains(o.body, w.mark) || bytes.Contains(o.head, w.mark)) {
		w.stored = w.store.puts.Load()
	}
	return w.tape.SendMsg(m)
}

// TestTurnIsKeptBeforeTheAnswerEnds: a client that has read the end may continue the conversation before Envoy has closed the stream.
func TestTurnIsKeptBeforeTheAnswerEnds(t *testing.T) {
	for name, c := range map[string]struct {
		stream bool
		pieces []string
		mark   string
	}{
		"whole":                       {false, []string{plainAnswer}, `"status":"completed"`},
		"stream":                      {true, []string{chunk, lastChunks}, "response.completed"},
		"stream whose end comes late": {true, []string{chunk, lastChunks, ""}, "response.completed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, benchConfig)
			store := &counted{Store: s.Turns()}
			s.Turns = func() turns.Store { return store }
			question := `{"model":"m","input":"hello there","stream":` + strconv.FormatBool(c.stream) + `}`
			messages := append(recorded(t, "/v1/responses", question, "", "a/default")[:2], script{status: "200", stream: c.stream, pieces: c.pieces}.messages(t)[2:]...)
			w := &watched{tape: tape{ctx: requestContext(), in: messages}, store: store, mark: []byte(c.mark), stored: -1}
			if err := s.Process(w); err != nil {
				t.Fatal(err)
			}
			if w.stored != 1 || store.puts.Load() != 1 {
				t.Errorf("stored %d times when the client had the end, %d times afterwards; want 1 and 1", w.stored, store.puts.Load())
			}
		})
	}
}
