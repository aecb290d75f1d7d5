package processor

import (
	"errors"
	"slices"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// refuse answers a request that goes to no provider.
func (ex *Exchange) refuse(err error) error {
	f := asFault(err)
	ex.outcome = f
	status, body := ex.endpoint.client.EncodeFault(f, ex.requestID)
	h := newHeaders()
	h.set("content-type", "application/json")
	ex.gatewayHeaders(&h)
	ex.faultHeaders(&h, f)
	if f.Kind == fault.MethodNotAllowed {
		h.set("allow", ex.endpoint.method)
	}
	return ex.answerAtOnce(status, &h, body)
}

// answerModels lists what the caller may use, or one model of it.
func (ex *Exchange) answerModels() error {
	codec, ok := ex.endpoint.client.(translate.Lister)
	if !ok {
		return ex.refuse(fault.New(fault.NotFound, "There is no model list in this schema."))
	}
	listing := ex.snap.Listing(ex.principal)
	models := make([]translate.ListedModel, len(listing))
	for i := range listing {
		models[i] = listed(&listing[i])
	}
	body := codec.EncodeModels(models)
	if ex.endpoint.op == opModel {
		name := ex.endpoint.model
		i := slices.IndexFunc(models, func(m translate.ListedModel) bool { return m.Name == name })
		if i < 0 {
			f := fault.New(fault.NotFound, "The model %s does not exist here, or this key may not use it. GET /v1/models lists what it may.", clip(name))
			f.Param, f.Code = "model", "model_not_found"
			return ex.refuse(f)
		}
		body = codec.EncodeModel(models[i])
	}
	h := newHeaders()
	h.set("content-type", "application/json")
	ex.gatewayHeaders(&h)
	return ex.answerAtOnce(200, &h, body)
}

// answerCount answers count_tokens with an estimate, where no provider of the model counts.
func (ex *Exchange) answerCount() error {
	h := newHeaders()
	h.set("content-type", "application/json")
	h.set("x-dragoman-estimate", "tokens")
	ex.gatewayHeaders(&h)
	n := ex.head.InputTokens()
	body, err := ex.endpoint.client.EncodeResponse(&chat.Response{Count: &n}, translate.Answer{})
	if err != nil {
		return ex.refuse(err)
	}
	return ex.answerAtOnce(200, &h, body)
}

func listed(m *config.ListedModel) translate.ListedModel {
	l := translate.ListedModel{Name: m.Name, OwnedBy: m.OwnedBy, Context: m.Context, MaxOutput: m.MaxOutput, Capabilities: m.Capabilities, Deprecated: m.Deprecated}
	if m.Price != nil {
		l.InputPrice, l.OutputPrice = dollars(m.Price.Input), dollars(m.Price.Output)
	}
	return l
}

func dollars(m config.MicroUSD) *float64 {
	usd := float64(m) / 1e6
	return &usd
}

// answerAtOnce sends an answer that Dragoman makes itself.
func (ex *Exchange) answerAtOnce(status int, h *headers, body []byte) error {
	ex.keepTurn()
	ex.phase = answered
	ex.clientStatus = status
	ex.end()
	return ex.send(immediate(status, h, body))
}

// asFault is the fault that an error holds; anything else is a bug, whose text stays here.
func asFault(err error) *fault.Fault {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f
	}
	return fault.New(fault.Internal, "The gateway could not handle this request. Its log says why.")
}
