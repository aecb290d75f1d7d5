package processor

import (
	"strconv"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/processor/account"
	"dragoman/processor/limit"
	"dragoman/processor/route"
	"dragoman/translate/chat"
)

// reachable leaves a route the candidates whose provider may serve the principal.
func (ex *Exchange) reachable(rt *config.Route, err error) (*config.Route, error) {
	if err != nil {
		return nil, err
	}
	reached := ex.principal.Reachable(rt)
	if reached == nil {
		f := fault.New(fault.PermissionDenied, "No provider of the model %s may serve this API key: its providers or data regions are limited.", clip(ex.head.Model))
		f.Param, f.Code = "model", "provider_not_allowed"
		return nil, f
	}
	return reached, nil
}

// reserve takes the request's worst case from every limit and budget above the key; settle gives back what was not used.
func (ex *Exchange) reserve() error {
	if ex.endpoint.op == opCount {
		return nil
	}
	if err := ex.s.Ledger.Ready(); err != nil || len(ex.principal.Meters) == 0 {
		return err
	}
	q := ex.limitRequest(ex.s.NewID(), ex.s.Now())
	reservation, status, err := ex.s.Counters.Reserve(ex.stream.Context(), &q)
	ex.limits = status
	if err != nil {
		ex.s.Metrics.LimitRefused(ex.principal.Tenant)
		return err
	}
	ex.reservation = reservation
	return nil
}

// limitRequest is what admission looks at.
func (ex *Exchange) limitRequest(id string, now time.Time) limit.Request {
	op, rt := ex.endpoint.op, ex.policy
	if pass := ex.endpoint.pass; pass != nil && pass.object != "" {
		rt = nil // files are no model's: there is no price to know
	}
	return limit.Request{
		ID: id, Now: now, Principal: ex.principal, Asked: ex.head.Model, Route: rt, Stream: ex.head.Stream,
		Input: ex.head.InputTokens(), Most: ex.gauge.Most(), Output: ex.head.MaxTokens, Choices: ex.head.N, Answers: op == opChat || op == opComplete,
	}
}

// afford leaves the steps in the plan that may serve the caller and that what was reserved suffices for.
func (ex *Exchange) afford() error {
	plan := ex.decision.Plan
	var refused error
	kept := plan[:0:0]
	for i := range plan {
		if err := ex.inReach(&plan[i]); err != nil {
			refused = err
			continue
		}
		kept = append(kept, plan[i])
	}
	if len(kept) == 0 {
		return refused
	}
	if len(kept) < len(plan) {
		ex.decision.Plan = kept
	}
	return nil
}

// inReach says why a step is out of reach, nil when it is not.
func (ex *Exchange) inReach(step *route.Step) error {
	if !ex.principal.MayReach(step.Provider) { // a rule or a fallback has led there
		return fault.New(fault.PermissionDenied, "The provider %s may not serve this API key.", step.Provider.Name)
	}
	_, _, err := ex.reservation.Cap(step.Model)
	return err
}

// affordable says that every step fits as it is, which is the common case.
func (ex *Exchange) affordable() bool {
	if ex.reservation == nil && ex.principal.Reach == nil {
		return true
	}
	for i := range ex.decision.Plan {
		if ex.inReach(&ex.decision.Plan[i]) != nil {
			return false
		}
	}
	return true
}

// capped is the cap that a budget puts on a model's output, and its name for the client; "" when none is needed. The error says that the
// step is out of reach.
func (ex *Exchange) capped(step *route.Step) (tokens int64, name string, err error) {
	if err := ex.inReach(step); err != nil {
		return 0, "", err
	}
	tokens, m, err := ex.reservation.Cap(step.Model)
	if err != nil || tokens == 0 {
		return 0, "", err
	}
	if ex.s != nil {
		ex.reservation.Capped(m)
	}
	return tokens, strconv.FormatInt(tokens, 10) + " tokens; " + m.Level + " " + m.Name, nil
}

// capHead is the client's own request with the cap in it, for a provider of the client's schema.
func (ex *Exchange) capHead(h *chat.Head, tokens int64) (*chat.Head, error) {
	body, err := sjson.SetBytes(h.Body, ex.capMember(h), tokens)
	if err != nil {
		return nil, err
	}
	capped, err := ex.endpoint.client.Parse(body)
	if err != nil {
		return nil, err
	}
	capped.Model, capped.Stream = h.Model, h.Stream
	return capped, nil
}

// capMember is where a schema's requests hold the cap.
func (ex *Exchange) capMember(h *chat.Head) string {
	switch h.Schema {
	case chat.Gemini:
		if gjson.GetBytes(h.Body, "generation_config").Exists() {
			return "generation_config.maxOutputTokens"
		}
		return "generationConfig.maxOutputTokens"
	case chat.Responses:
		return "max_output_tokens"
	case chat.OpenAI:
		if ex.endpoint.op == opChat {
			return "max_completion_tokens"
		}
	}
	return "max_tokens"
}

// capRequest is the neutral request with the cap in it.
func (ex *Exchange) capRequest(r *chat.Request, tokens int64) (*chat.Request, error) {
	if r == nil {
		var err error
		if r, err = ex.decoded(); err != nil {
			return nil, err
		}
	}
	out := *r
	out.MaxTokens = &tokens
	return &out, nil
}

// used is what a finished request is charged with. failed are its earlier attempts.
func (ex *Exchange) used(usage chat.Usage, estimated bool, failed []account.Attempt) limit.Used {
	u := limit.Used{Usage: usage, Asked: ex.head.Model, Route: ex.route, Estimated: estimated, Priced: true}
	if ex.step != nil && !ex.unmetered() && usage.Known {
		u.Model = ex.step.Model
		u.Cost, u.Priced = account.Cost(ex.step.Model, ex.billed(usage, estimated))
	}
	for i := range failed {
		u.Cost += failed[i].Cost // what is not priced adds nothing
		u.Usage.Input += failed[i].Usage.Prompt()
		u.Usage.Output += failed[i].Usage.Output
	}
	return u
}
