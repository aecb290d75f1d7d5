package cohere

import (
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// commonSchema is no provider's schema: a request of it is always translated.
const commonSchema chat.Schema = "rerank"

// CommonRerank is what applications post to /v1/rerank: the form that Cohere's API v1, Jina and most servers of rerank
// models share. Documents are texts or objects with a text, and come back where return_documents asks for them. It holds
// no state.
type CommonRerank struct{ translate.WholeOnly }

// Schema is a schema of its own, so that no provider gets the bytes as they came.
func (CommonRerank) Schema() chat.Schema { return commonSchema }

// EncodeFault is Codec's.
func (CommonRerank) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	return encodeFault(f, requestID)
}

// Parse validates body and reads its head.
func (CommonRerank) Parse(body []byte) (*chat.Head, error) { return parseRerank(body, commonSchema) }

// Decode reads the whole request.
func (CommonRerank) Decode(h *chat.Head) (*chat.Request, error) { return decodeRerank(h) }

// EncodeResponse writes the places of the documents, and the documents themselves when the client asked for them.
func (CommonRerank) EncodeResponse(r *chat.Response, o translate.Answer) ([]byte, error) {
	if r.Rerank == nil {
		return nil, fault.New(fault.ProviderFailed, "The provider's answer holds no ranking.")
	}
	documents := returned(o.Head)
	size := 256 + 64*len(r.Rerank.Results)
	for _, d := range documents {
		size += len(d) + 16
	}
	b := strictjson.AppendString(append(make([]byte, 0, size), `{"id":`...), answerID(r.ID, o))
	model := r.Rerank.Model
	if model == "" {
		model = o.Model
	}
	b = strictjson.AppendString(append(b, `,"model":`...), model)
	b = append(b, `,"results":[`...)
	for i := range r.Rerank.Results {
		place := &r.Rerank.Results[i]
		b = appendPlace(comma(b, i), place)
		if place.Index < len(documents) {
			b = append(appendDocument(append(b, `,"document":`...), documents[place.Index]), '}')
		} else {
			b = append(b, '}')
		}
	}
	b = append(b, `],"meta":{"billed_units":{"search_units":`...)
	b = strconv.AppendFloat(b, r.Rerank.Units, 'f', -1, 64)
	b = append(b, '}', '}')
	if u := r.Usage; u.Known {
		b = append(strconv.AppendInt(append(b, `,"usage":{"total_tokens":`...), u.Total(), 10), '}')
	}
	return append(b, '}'), nil
}

// returned are the JSON texts of a request's documents, nil unless they are to come back.
func returned(h *chat.Head) (documents [][]byte) {
	if h == nil || string(h.Field("return_documents")) != "true" {
		return nil
	}
	s := strictjson.NewLenient(h.Field("documents"))
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		documents = append(documents, s.Skip())
	}
	return documents
}

// appendDocument appends a document as an object, which it may have been.
func appendDocument(b, document []byte) []byte {
	if len(document) > 0 && document[0] == '{' {
		return append(b, document...)
	}
	return append(append(append(b, `{"text":`...), document...), '}')
}
