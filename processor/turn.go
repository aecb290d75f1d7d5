package processor

import (
	"bytes"
	"context"
	"strings"

	"dragoman/internal/fault"
	"dragoman/processor/route"
	"dragoman/processor/turns"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/responses"
)

// What a conversation needs beyond one request: the turns that a client of the Responses API continues by their id, and the
// signatures that clients drop although a provider insists on them.

// turnPrefix is the path of one stored response.
const turnPrefix = "/v1/responses/"

// resume puts the conversation that a request continues in front of it, so that limits, the cache's key and every provider see it
// whole. Where the provider that answered before keeps the conversation too, it gets the client's own bytes.
func (ex *Exchange) resume() error {
	ex.asked = ex.head
	if ex.head.Schema != chat.Responses || ex.s == nil {
		return nil
	}
	previous, references := responses.Previous(ex.head), responses.References(ex.head)
	if previous == "" && references == nil {
		return nil
	}
	ctx, store := ex.stream.Context(), ex.s.Turns()
	var history []chat.Message
	if previous != "" {
		turn, err := turns.Load(ctx, store, ex.principal.Tenant, previous)
		if err != nil {
			return err
		}
		history, ex.origin, ex.native = turn.Messages, turn.Origin, turn.Native
	}
	known, err := turns.Items(ctx, store, ex.principal.Tenant, references)
	if err != nil {
		return err
	}
	ex.head, err = responses.Continue(ex.asked, history, known)
	return err
}

// stay prefers the provider that keeps the conversation. What only that provider understands must not go to another.
func (ex *Exchange) stay() error {
	if ex.origin == "" {
		return nil
	}
	var home, away []route.Step
	for _, s := range ex.decision.Plan {
		if string(s.Provider.Name) == ex.origin {
			home = append(home, s)
		} else {
			away = append(away, s)
		}
	}
	if ex.native {
		away = nil
	}
	if len(home)+len(away) == 0 {
		return fault.Invalid("previous_response_id", "The conversation holds items of tools that only the provider %s understands, and this model is not served by it. Ask for a model of that provider, or send the conversation in input.", ex.origin)
	}
	ex.decision.Plan = append(home, away...)
	return nil
}

// headFor is the request as a provider of the client's schema gets it.
func (ex *Exchange) headFor(step *route.Step) *chat.Head {
	if ex.origin != "" && string(step.Provider.Name) == ex.origin {
		return ex.asked
	}
	return ex.head
}

// remembers says whether the answer's signatures have to be kept for a client that may drop them: without them the provider
// refuses the results of the calls that it has made (D76, D79).
func (ex *Exchange) remembers() bool {
	if ex.head.Tools == 0 || ex.provider.Schema() == ex.head.Schema {
		return false
	}
	switch ex.provider.Schema() {
	case chat.Anthropic, chat.Gemini, chat.Bedrock:
		return true
	}
	return false
}

// signatureMark is in every whole answer that holds a signature, in any schema.
var signatureMark = []byte(`ignature"`)

// noteWhole keeps what later turns need of a whole answer: as the provider sent it, and as the client gets it.
func (ex *Exchange) noteWhole(said, told []byte, o translate.Answer) {
	if ex.head.Schema == chat.Responses {
		ex.object = told
	}
	if ex.remembers() && bytes.Contains(said, signatureMark) {
		if r, err := ex.provider.DecodeResponse(said); err == nil {
			translate.RestoreNames(r, o.Names)
			ex.signed = r
		}
	}
}

// noteStream keeps what later turns need of a stream that has ended well. piece is what the client gets next; the object of a response is
// in the piece with its last event.
func (ex *Exchange) noteStream(piece []byte) {
	if ex.head.Schema == chat.Responses && !ex.objectKept {
		ex.object = responses.FinalObject(piece)
	}
	if ex.remembers() && ex.acc != nil && !ex.signedKept {
		ex.signed, _ = ex.acc.Response()
	}
}

// keepTurn stores them before the client has the end of its answer: a client that has it may send the next turn at once.
func (ex *Exchange) keepTurn() {
	if ex.outcome != nil || ex.object == nil && ex.signed == nil {
		return
	}
	ctx := context.WithoutCancel(ex.stream.Context())
	if ex.signed != nil {
		ex.noteTurn(turns.Remember(ctx, ex.s.Turns(), ex.principal.Tenant, ex.signed))
		ex.signed, ex.signedKept = nil, true
	}
	if ex.object != nil {
		if responses.Stored(ex.asked) {
			ex.noteTurn(ex.saveTurn(ctx))
		}
		ex.object, ex.objectKept = nil, true
	}
}

func (ex *Exchange) noteTurn(err error) {
	if err != nil {
		ex.s.Metrics.TurnLost()
	}
}

func (ex *Exchange) saveTurn(ctx context.Context) error {
	r, err := responsesCodec.DecodeResponse(ex.object)
	if err != nil || len(r.Choices) == 0 {
		return err
	}
	messages, err := responses.History(ex.head)
	if err != nil {
		return err
	}
	turn := &turns.Turn{ID: r.ID, Created: r.Created, Input: len(messages), Body: ex.object}
	if ex.provider != nil && ex.provider.Schema() == chat.Responses {
		turn.Origin = string(ex.step.Provider.Name)
		for i := range r.Extra {
			turn.Native = turn.Native || strings.HasPrefix(r.Extra[i].Name, "output[")
		}
	}
	turn.Messages = append(messages, chat.Message{Role: chat.Assistant, Parts: r.Choices[0].Parts})
	for _, item := range responses.OutputItems(ex.object) {
		turn.AddItem(item.ID, item.Message)
	}
	return turns.Save(ctx, ex.s.Turns(), ex.principal.Tenant, turn)
}

// answerTurn shows, lists the input of, or forgets a stored response.
func (ex *Exchange) answerTurn(r incoming) error {
	ctx, store, tenant := ex.stream.Context(), ex.s.Turns(), ex.principal.Tenant
	id := strings.TrimSuffix(strings.TrimPrefix(r.path, turnPrefix), inputItems)
	turn, err := turns.Load(ctx, store, tenant, id)
	if err != nil {
		if asFault(err).Kind == fault.InvalidRequest {
			err = turns.NotFound(id) // as OpenAI says it of a path
		}
		return ex.refuse(err)
	}
	body := turn.Body
	switch {
	case ex.endpoint.op == opTurnInput:
		page, err := responses.ParsePage(r.query)
		if err != nil {
			return ex.refuse(err)
		}
		body = responses.EncodeInputItems(id, turn.Messages[:turn.Input], page)
	case r.method == "DELETE":
		items := responses.OutputItems(turn.Body)
		ids := make([]string, len(items))
		for i := range items {
			ids[i] = items[i].ID
		}
		if err := turns.Forget(ctx, store, tenant, id, ids); err != nil {
			return ex.refuse(err)
		}
		body = responses.EncodeDeleted(id)
	}
	h := newHeaders()
	h.set("content-type", "application/json")
	ex.gatewayHeaders(&h)
	return ex.answerAtOnce(200, &h, body)
}

// inputItems is the end of the path of a stored response's input.
const inputItems = "/input_items"
