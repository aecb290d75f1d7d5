package cohere

import (
	"bytes"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// vectors is an answer of the embed operation, taken apart. Its slices are JSON texts within what was read.
type vectors struct {
	id, err      []byte
	list         []byte // of arrays
	packed       []byte // of base64 strings
	hasEmbedding bool
	counts       counts
}

// read takes a body apart. The fault is the error that a 200 may hold, or ProviderFailed for what is no answer.
func (v *vectors) read(body []byte) *fault.Fault {
	s := strictjson.NewLenient(body)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "id":
			v.id = stringOf(s)
		case "message":
			v.err = stringOf(s)
		case "meta":
			v.counts.read(s)
		case "embeddings":
			v.embeddings(s)
		}
	}
	err := s.End()
	switch {
	case err == nil && v.err != nil:
		return heard(0, strictjson.Text(v.err))
	case err != nil || !v.hasEmbedding:
		return notAnAnswer(body)
	}
	return nil
}

func (v *vectors) embeddings(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	v.hasEmbedding = true
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "float":
			v.list = arrayOf(s)
		case "base64":
			v.packed = arrayOf(s)
		}
	}
}

// DecodeResponse reads the vectors, from either form.
func (Embeddings) DecodeResponse(body []byte) (*chat.Response, error) {
	var v vectors
	if f := v.read(body); f != nil {
		return nil, f
	}
	out := &chat.EmbeddingResponse{Usage: v.counts.usage}
	raw := v.list
	if raw == nil {
		raw = v.packed
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	hint, ok := 0, true
	for s.Enter(strictjson.Array); ok && s.Next(); {
		var vector []float32
		if vector, ok = readVector(s, hint); ok {
			out.Vectors, hint = append(out.Vectors, vector), len(vector)
		}
	}
	if !ok || len(out.Vectors) == 0 {
		return nil, fault.New(fault.ProviderFailed, "The provider's answer holds no vectors of numbers, or one that is none.")
	}
	return &chat.Response{ID: clone(v.id), Usage: out.Usage, Billed: v.counts.billed, Embedding: out}, nil
}

func readVector(s *strictjson.Scanner, hint int) (vector []float32, ok bool) {
	switch s.Kind() {
	case strictjson.Array:
		vector, ok = wire.ParseFloats(s.Skip(), hint)
	case strictjson.String:
		raw := s.Skip()
		text := raw[1 : len(raw)-1]
		if bytes.IndexByte(text, '\\') >= 0 {
			text = strictjson.AppendText(nil, raw)
		}
		vector, ok = wire.ParseVector64(text)
	}
	return vector, ok && len(vector) > 0
}

// PeekResponse reads what accounting needs.
func (Embeddings) PeekResponse(body []byte) (translate.Seen, error) {
	var v vectors
	if f := v.read(body); f != nil {
		return translate.Seen{}, f
	}
	return translate.Seen{ID: clone(v.id), Usage: v.counts.usage, Billed: v.counts.billed, Content: true, End: true}, nil
}
