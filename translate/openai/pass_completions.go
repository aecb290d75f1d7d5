package openai

import (
	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Completions is the older completions operation, whose streams are those of chat with `text` in place of a message. It holds no
// state.
type Completions struct{ Codec }

var (
	_ translate.Client   = Completions{}
	_ translate.Provider = Completions{}
)

// Parse validates body and reads its head.
func (Completions) Parse(body []byte) (*chat.Head, error) {
	p := parser{Scanner: strictjson.New(body), h: &chat.Head{Schema: chat.OpenAI, N: 1, Body: body}}
	defer p.Release()
	for p.Enter(strictjson.Object); p.Next(); {
		switch key := p.Key(); {
		case string(key) == "model":
			p.model = true
			if p.h.Model = p.String(); p.h.Model == "" {
				p.Invalid("model", "must name a model.")
			}
		case p.Kind() != strictjson.Null:
			p.completionMember(key)
		}
	}
	if err := p.End(); err != nil {
		return nil, err
	}
	if !p.model {
		return nil, fault.Invalid("model", "model is required.")
	}
	p.h.Fields = p.Fields()
	return p.h, nil
}

func (p *parser) completionMember(name []byte) {
	switch string(name) {
	case "prompt":
		p.prompt()
	case "suffix":
		p.text()
	case "stream":
		p.h.Stream = p.Bool()
	case "stream_options":
		p.streamOptions()
	case "max_tokens":
		p.h.MaxTokens = p.Between("max_tokens", 0, maxTokens)
	case "n":
		p.h.N = max(p.h.N, p.Between("n", 1, 128))
	case "best_of":
		p.h.N = max(p.h.N, p.Between("best_of", 1, 128)) // what is billed
	case "user":
		p.h.User = p.String()
	}
}

// prompt is a text, texts, tokens or lists of tokens, as the input of embeddings, but each text is answered.
func (p *parser) prompt() {
	switch kind := p.Kind(); kind {
	case strictjson.String:
		p.text()
		return
	case strictjson.Array, strictjson.None:
	default:
		p.Invalid("prompt", "must be a string or an array, not %s.", kind)
		return
	}
	for p.Enter(strictjson.Array); p.Next(); {
		p.embeddingElement(p.Kind())
	}
}

// Rewrite is Codec's, to another path.
func (Completions) Rewrite(h *chat.Head, t translate.Target) (*translate.Upstream, error) {
	up, err := Codec{}.Rewrite(h, t)
	if err != nil {
		return nil, err
	}
	up.Path = t.BasePath + "/completions"
	return up, nil
}

// Decode refuses: there is no neutral form of a prompt that is to be completed.
func (Completions) Decode(*chat.Head) (*chat.Request, error) { return nil, untranslated() }

// Encode refuses, as Decode.
func (Completions) Encode(*chat.Request, translate.Target) (*translate.Upstream, error) {
	return nil, untranslated()
}

// DecodeResponse refuses a whole answer to a stream's request: it cannot be made a stream of this operation.
func (Completions) DecodeResponse([]byte) (*chat.Response, error) {
	return nil, fault.New(fault.ProviderFailed, "The provider answered a stream's request with a whole answer.")
}

// EncodeResponse refuses, as Decode.
func (Completions) EncodeResponse(*chat.Response, translate.Answer) ([]byte, error) {
	return nil, untranslated()
}
