package openai

import (
	"bytes"
	"strconv"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// vectors is an answer of the embeddings operation, taken apart. Its slices are JSON texts within what was read.
type vectors struct {
	model, err []byte
	usage      []byte
	data       []vectorPiece
	hasData    bool
}

type vectorPiece struct {
	index  int
	vector []byte // an array, or a string of base64
}

// read takes a body apart. The fault is the error that a 200 may hold, or ProviderFailed for what is no answer.
func (v *vectors) read(body []byte) *fault.Fault {
	s := strictjson.NewLenient(body)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "model":
			v.model = stringOf(s)
		case "usage":
			if s.Kind() == strictjson.Object {
				v.usage = s.Skip()
			}
		case "error":
			if s.Kind() != strictjson.Null {
				v.err = s.Skip()
			}
		case "data":
			if s.Kind() == strictjson.Array {
				v.hasData = true
				for s.Enter(strictjson.Array); s.Next(); {
					v.data = append(v.data, readVector(s))
				}
			}
		}
	}
	err := s.End()
	switch {
	case err == nil && v.err != nil:
		return embeddedFault(v.err)
	case err != nil || !v.hasData:
		return notAnAnswer(body)
	}
	return nil
}

func readVector(s *strictjson.Scanner) vectorPiece {
	p := vectorPiece{index: s.Index()}
	if s.Kind() != strictjson.Object {
		return p
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "index":
			if s.Kind() == strictjson.Number {
				p.index = int(countOf(s))
			}
		case "embedding":
			if s.Kind() == strictjson.Array || s.Kind() == strictjson.String {
				p.vector = s.Skip()
			}
		}
	}
	return p
}

// DecodeResponse reads the vectors, in either form, in the order of their inputs.
func (Embeddings) DecodeResponse(body []byte) (*chat.Response, error) {
	var v vectors
	if f := v.read(body); f != nil {
		return nil, f
	}
	out := &chat.EmbeddingResponse{Model: strings.Clone(strictjson.Text(v.model)), Vectors: make([][]float32, len(v.data)), Usage: readUsage(v.usage)}
	hint := 0
	for _, p := range v.data {
		if p.index < 0 || p.index >= len(v.data) || out.Vectors[p.index] != nil {
			return nil, fault.New(fault.ProviderFailed, "The provider's embeddings are not numbered from 0 to %d.", len(v.data)-1)
		}
		vector, ok := p.parse(hint)
		if !ok || len(vector) == 0 {
			return nil, fault.New(fault.ProviderFailed, "The provider's embedding %d is no vector of numbers.", p.index)
		}
		out.Vectors[p.index], hint = vector, len(vector)
	}
	return &chat.Response{Model: out.Model, Usage: out.Usage, Embedding: out}, nil
}

func (p *vectorPiece) parse(hint int) ([]float32, bool) {
	if len(p.vector) > 0 && p.vector[0] == '"' {
		text := p.vector[1 : len(p.vector)-1]
		if bytes.IndexByte(text, '\\') >= 0 { // PHP writes \/
			text = strictjson.AppendText(nil, p.vector)
		}
		return wire.ParseVector64(text)
	}
	return wire.ParseFloats(p.vector, hint)
}

// PeekResponse reads what accounting needs.
func (Embeddings) PeekResponse(body []byte) (translate.Seen, error) {
	var v vectors
	if f := v.read(body); f != nil {
		return translate.Seen{}, f
	}
	return translate.Seen{Model: strings.Clone(strictjson.Text(v.model)), Usage: readUsage(v.usage), Content: true, End: true}, nil
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

func appendTokens(b []byte, tokens []int64) []byte {
	b = append(b, '[')
	for i, t := range tokens {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendInt(b, t)
	}
	return append(b, ']')
}
