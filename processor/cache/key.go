package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"
	"slices"
	"strings"

	"dragoman/translate/chat"
)

// Key names one request of one tenant. It is a SHA-256, because a collision would serve somebody else's answer; KeyOf is
// the only way to a Key, so that none can be made without its tenant.
type Key struct{ sum [sha256.Size]byte }

// Bytes is the key for a backend that needs one on the wire.
func (k Key) Bytes() []byte { return k.sum[:] }

// String is the key as people and headers write it: 64 hex digits.
func (k Key) String() string { return hex.EncodeToString(k.sum[:]) }

// ParseKey reads what String wrote. The key can only find an entry: it makes none.
func ParseKey(s string) (k Key, ok bool) {
	if len(s) != 2*sha256.Size {
		return k, false
	}
	_, err := hex.Decode(k.sum[:], []byte(s))
	return k, err == nil
}

// Partition is what requests must have in common to share answers, beside the request itself.
type Partition struct {
	Tenant string
	Scope  string // of several tenants that agreed to share, "": the tenant's own
	Route  string // what the model asked for stands for
	Extra  string // the client's own part of the key (x-dragoman-cache-key)
}

// version changes when the meaning of the fingerprint does, for backends that outlive the process.
const version = "dragoman-cache-2"

// KeyOf is the key of a request: its partition, the model as it was asked for, and everything that changes the answer, with
// the defaults of both schemas filled in. Left out is what does not: whether the answer is streamed and with which usage
// chunk, the client's own schema, and ids of users and sessions.
func KeyOf(p Partition, r *chat.Request) Key {
	w := writer{h: sha256.New()}
	w.str(version)
	w.request(p, r, -1, nil)
	return w.key()
}

// request writes everything that counts. The message at the place replaced has other parts.
func (w *writer) request(p Partition, r *chat.Request, replaced int, parts []chat.Part) {
	w.bool(p.Scope != "") // a scope is not the tenant of the same name
	if p.Scope != "" {
		w.str(p.Scope)
	} else {
		w.str(p.Tenant)
	}
	w.str(p.Route)
	w.str(p.Extra)
	w.str(r.Model)
	w.sampling(r)
	w.format(r)
	w.tools(r)
	w.int(int64(len(r.Messages)))
	for i := range r.Messages {
		m := &r.Messages[i]
		w.str(string(m.Role))
		w.str(m.Name)
		if i == replaced {
			w.parts(parts)
		} else {
			w.parts(m.Parts)
		}
	}
	w.requestExtras(r.Extra)
}

// writer feeds the hash. Every value goes in with its length or a fixed size, and absent ones as such, so that no two
// requests can look the same by shifting bytes between fields.
type writer struct {
	h   hash.Hash
	buf [1024]byte
	n   int
}

func (w *writer) key() (k Key) {
	w.flush()
	w.h.Sum(k.sum[:0])
	return k
}

func (w *writer) flush() {
	w.h.Write(w.buf[:w.n])
	w.n = 0
}

func (w *writer) int(v int64) {
	if w.n+8 > len(w.buf) {
		w.flush()
	}
	binary.LittleEndian.PutUint64(w.buf[w.n:], uint64(v))
	w.n += 8
}

func (w *writer) bool(v bool) {
	if v {
		w.int(1)
	} else {
		w.int(0)
	}
}

func (w *writer) str(s string) {
	w.int(int64(len(s)))
	for len(s) > 0 {
		if w.n == len(w.buf) {
			w.flush()
		}
		c := copy(w.buf[w.n:], s)
		w.n += c
		s = s[c:]
	}
}

func (w *writer) bytes(b []byte) {
	w.int(int64(len(b)))
	if len(b) > len(w.buf)/2 {
		w.flush()
		w.h.Write(b)
		return
	}
	if w.n+len(b) > len(w.buf) {
		w.flush()
	}
	w.n += copy(w.buf[w.n:], b)
}

// optInt writes a value that has no default: absent differs from every number.
func (w *writer) optInt(v *int64) {
	w.bool(v != nil)
	if v != nil {
		w.int(*v)
	}
}

// optBool likewise.
func (w *writer) optBool(v *bool) {
	w.bool(v != nil)
	if v != nil {
		w.bool(*v)
	}
}

// float writes a value whose absence means def.
func (w *writer) float(v *float64, def float64) {
	if v != nil {
		def = *v
	}
	if def == 0 {
		def = 0 // -0 is 0
	}
	w.int(int64(math.Float64bits(def)))
}

// intOr and boolOr likewise.
func (w *writer) intOr(v *int64, def int64) {
	if v != nil {
		def = *v
	}
	w.int(def)
}

func (w *writer) boolOr(v *bool, def bool) {
	if v != nil {
		def = *v
	}
	w.bool(def)
}

// sampling: the defaults are OpenAI's and, where it has the parameter, Anthropic's: they agree.
func (w *writer) sampling(r *chat.Request) {
	w.optInt(r.MaxTokens)
	w.float(r.Temperature, 1)
	w.float(r.TopP, 1)
	w.optInt(r.TopK)
	w.float(r.FrequencyPenalty, 0)
	w.float(r.PresencePenalty, 0)
	w.int(int64(len(r.Stop)))
	for _, s := range r.Stop {
		w.str(s)
	}
	w.optInt(r.Seed)
	w.intOr(r.N, 1)
	w.boolOr(r.LogProbs, false)
	w.intOr(r.TopLogProbs, 0)
}

func (w *writer) format(r *chat.Request) {
	w.bool(r.Format != nil)
	if f := r.Format; f != nil {
		w.str(f.Name)
		w.str(f.Description)
		w.bool(f.Schema != nil)
		w.bytes(f.Schema)
		w.boolOr(f.Strict, false)
	}
	w.bool(r.Reasoning != nil)
	if t := r.Reasoning; t != nil {
		w.str(t.Effort)
		w.int(t.Budget)
		w.bool(t.Disabled)
		w.bool(t.Adaptive)
		w.str(t.Display)
	}
}

func (w *writer) tools(r *chat.Request) {
	w.int(int64(len(r.Tools)))
	for i := range r.Tools {
		t := &r.Tools[i]
		w.str(t.Name)
		w.str(t.Description)
		w.bytes(t.Parameters)
		w.optBool(t.Strict)
		w.str(t.Kind)
		w.bytes(t.Raw)
	}
	w.bool(r.ToolChoice != nil)
	if c := r.ToolChoice; c != nil {
		w.str(string(c.Mode))
		w.str(c.Name)
	}
	w.boolOr(r.ParallelToolCalls, true)
}

func (w *writer) parts(ps []chat.Part) {
	w.int(int64(len(ps)))
	for i := range ps {
		p := &ps[i]
		w.int(int64(p.Kind))
		w.str(p.Text)
		w.str(p.Signature)
		w.media(p.Media)
		w.call(p.Call)
		w.result(p.Result)
		w.extras(p.Extra)
		// Part.Cache is a hint about price: it changes no answer.
	}
}

func (w *writer) media(m *chat.Media) {
	w.bool(m != nil)
	if m != nil {
		for _, s := range [...]string{m.Type, m.Data, m.URL, m.FileID, m.Name, m.Detail} {
			w.str(s)
		}
	}
}

func (w *writer) call(c *chat.Call) {
	w.bool(c != nil)
	if c != nil {
		w.str(c.ID)
		w.str(c.Name)
		w.str(c.Arguments)
	}
}

func (w *writer) result(r *chat.Result) {
	w.bool(r != nil)
	if r != nil {
		w.str(r.CallID)
		w.optBool(r.IsError)
		w.parts(r.Parts)
	}
}

func (w *writer) extras(es []chat.Extra) {
	w.int(int64(len(es)))
	for i := range es {
		w.str(es[i].Name)
		w.bytes(es[i].JSON)
	}
}

// requestExtras writes the members that have no neutral form in the order of their names: JSON objects have none.
func (w *writer) requestExtras(es []chat.Extra) {
	counted := make([]chat.Extra, 0, len(es))
	for i := range es {
		if classify(es[i].Name) != harmless {
			counted = append(counted, es[i])
		}
	}
	slices.SortStableFunc(counted, func(a, b chat.Extra) int { return strings.Compare(a.Name, b.Name) })
	w.extras(counted)
}

type extraClass uint8

const (
	unknownExtra extraClass = iota
	harmless                // changes where a request is stored or billed, or names who sent it, not what is answered
	meaningful              // changes the answer, and nothing else
)

// classify knows the members of requests by name. Sources: OpenAI, "Create chat completion"; Anthropic, "Messages".
func classify(name string) extraClass {
	switch name {
	case "user", "safety_identifier", "metadata", "store", "prompt_cache_key", "prompt_cache_retention", "service_tier",
		"stream_options", "inference_geo":
		return harmless
	case "logit_bias", "verbosity":
		return meaningful
	default:
		return unknownExtra
	}
}
