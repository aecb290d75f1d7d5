// Package turns keeps what a conversation needs beyond one request, for clients that do not send it again: the turns that
// previous_response_id continues (Turn), the items that item_reference names, and the signatures that a client dropped
// (Remember, Restore). Everything is partitioned by tenant: the key demands one.
//
// The answers of a provider that keeps responses itself are kept here too: an id is only ever looked up here, so that a
// tenant cannot name what another one made through a shared credential.
package turns

import (
	"context"
	"errors"
	"time"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

// Kind says what an entry is.
type Kind uint8

// The kinds of entries.
const (
	Response  Kind = iota + 1 // a Turn, by the id of its response
	Item                      // one item of an answer, by its id
	Signature                 // the signed parts of an assistant's turn, by the id of each of its calls or a hash of its text
)

// Key names an entry.
type Key struct {
	Tenant string
	Kind   Kind
	ID     string
}

// Entry is what a store keeps.
type Entry struct {
	Key   Key
	Value []byte
}

// Store keeps entries for a time, which is its own affair, as are its bounds. It is safe for concurrent use. Every method
// returns by the context's deadline, and keeps nothing of its arguments that the caller may change.
type Store interface {
	// Get returns the value of each key, nil where there is none. Callers must not write to values.
	Get(ctx context.Context, keys ...Key) ([][]byte, error)
	// Put keeps entries in place of those with the same keys. The error is ErrTooLarge where one is over the store's bound;
	// none is kept then.
	Put(ctx context.Context, entries ...Entry) error
	// Delete forgets entries and says whether the first was there.
	Delete(ctx context.Context, keys ...Key) (bool, error)
}

// ErrTooLarge is Put's error for an entry over the bound.
var ErrTooLarge = errors.New("turns: the entry is too large to be kept")

// TTL is how long entries live, by their kind. A zero is a day.
type TTL struct{ Response, Signature time.Duration }

const day = 24 * time.Hour

// Of is the time for one kind. Items live as long as their response.
func (t TTL) Of(k Kind) time.Duration {
	d := t.Response
	if k == Signature {
		d = t.Signature
	}
	if d <= 0 {
		return day
	}
	return d
}

// Turn is one answer and the conversation that led to it.
type Turn struct {
	ID       string // of the response, as the client knows it
	Created  int64  // Unix seconds
	Origin   string // the provider that keeps the response too, under the same id; "" when none does
	Native   bool   // the answer has items that only its origin understands
	Input    int    // how many of Messages are the request's
	Messages []chat.Message
	Body     []byte            // the response object as the client got it
	Items    map[string][]byte // ids of its items, each with an encoded message; not read back by Load
}

// Save keeps a turn, and each item of its answer under its own id. An error leaves nothing behind that could be found.
func Save(ctx context.Context, s Store, tenant string, t *Turn) error {
	entries := make([]Entry, 0, 1+len(t.Items))
	for id, value := range t.Items {
		if validID(id) {
			entries = append(entries, Entry{Key{tenant, Item, id}, value})
		}
	}
	if !validID(t.ID) {
		return errors.New("turns: the response has no id to be kept under")
	}
	return s.Put(ctx, append(entries, Entry{Key{tenant, Response, t.ID}, Encode(t)})...)
}

// AddItem notes one item of the answer for Save.
func (t *Turn) AddItem(id string, m chat.Message) {
	if t.Items == nil {
		t.Items = map[string][]byte{}
	}
	t.Items[id] = EncodeMessage(&m)
}

// maxID bounds ids that clients send.
const maxID = 256

func validID(id string) bool { return id != "" && len(id) <= maxID }

// Load finds a turn of the tenant's. An unknown, expired or another tenant's id is a fault in OpenAI's words; a store that
// cannot be asked is Unavailable, for the conversation must not go on without its beginning.
func Load(ctx context.Context, s Store, tenant, id string) (*Turn, error) {
	if !validID(id) {
		return nil, unknown(id)
	}
	values, err := s.Get(ctx, Key{tenant, Response, id})
	if err != nil {
		return nil, away()
	}
	if values[0] == nil {
		return nil, unknown(id)
	}
	t, err := Decode(values[0])
	if err != nil {
		return nil, unknown(id) // written by another version
	}
	return t, nil
}

// Items finds items of the tenant's by their ids. What is not there is left out.
func Items(ctx context.Context, s Store, tenant string, ids []string) (map[string]chat.Message, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if len(ids) > maxItems {
		return nil, fault.Invalid("input", "input may name at most %d items.", maxItems)
	}
	keys := make([]Key, 0, len(ids))
	for _, id := range ids {
		if validID(id) {
			keys = append(keys, Key{tenant, Item, id})
		}
	}
	values, err := s.Get(ctx, keys...)
	if err != nil {
		return nil, away()
	}
	found := make(map[string]chat.Message, len(values))
	for i, v := range values {
		if m, err := DecodeMessage(v); v != nil && err == nil {
			found[keys[i].ID] = *m
		}
	}
	return found, nil
}

// maxItems bounds how many items one request may name.
const maxItems = 4096

// Forget deletes a turn and its items, and says with a NotFound whether there was none.
func Forget(ctx context.Context, s Store, tenant, id string, items []string) error {
	if !validID(id) {
		return NotFound(id)
	}
	keys := []Key{{tenant, Response, id}}
	for _, item := range items {
		keys = append(keys, Key{tenant, Item, item})
	}
	existed, err := s.Delete(ctx, keys...)
	switch {
	case err != nil:
		return away()
	case !existed:
		return NotFound(id)
	}
	return nil
}

// previousExtra is the member of a decoded request that says it is not whole.
const previousExtra = "previous_response_id"

// Resolve makes the whole of a request that continues the turn previousID: the conversation so far in front of its own
// messages. The first instructions of them stay first; they hold for this request alone. The request is not changed.
func Resolve(ctx context.Context, s Store, tenant, previousID string, r *chat.Request, instructions int) (*chat.Request, error) {
	t, err := Load(ctx, s, tenant, previousID)
	if err != nil {
		return nil, err
	}
	whole := *r
	whole.Messages = make([]chat.Message, 0, len(t.Messages)+len(r.Messages))
	whole.Messages = append(whole.Messages, r.Messages[:instructions]...)
	whole.Messages = append(whole.Messages, t.Messages...)
	whole.Messages = append(whole.Messages, r.Messages[instructions:]...)
	whole.Extra = nil
	for _, x := range r.Extra {
		if x.Name != previousExtra {
			whole.Extra = append(whole.Extra, x)
		}
	}
	return &whole, nil
}

// unknown is OpenAI's fault for a previous_response_id that it does not have: a 400.
func unknown(id string) *fault.Fault {
	f := fault.Invalid(previousExtra, "Previous response with id '%s' not found.", show(id))
	f.Code = "previous_response_not_found"
	return f
}

// NotFound is OpenAI's fault for a path that names a response that it does not have: a 404.
func NotFound(id string) *fault.Fault {
	return fault.New(fault.NotFound, "Response with id '%s' not found.", show(id))
}

func away() *fault.Fault {
	return &fault.Fault{Kind: fault.Unavailable, Code: "store_unavailable",
		Message: "Earlier answers cannot be looked up at the moment. Try again, or send the whole conversation instead of previous_response_id."}
}

// show makes a stranger's id fit for a message.
func show(id string) string {
	b := make([]byte, 0, 64)
	for i := 0; i < len(id) && len(b) < 64; i++ {
		if c := id[i]; c > ' ' && c < 0x7f && c != '\'' && c != '"' {
			b = append(b, c)
		}
	}
	return string(b)
}
