package processor

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/internal/wiring"
	"dragoman/processor/limit"
	"dragoman/processor/route"
	"dragoman/processor/window"
	"dragoman/translate"
)

// Explanation is what would happen to a request, and why.
type Explanation struct {
	Principal  string            `json:"principal"`
	Schema     string            `json:"schema"`
	Asked      string            `json:"model"`
	Stream     bool              `json:"stream"`
	Tokens     int64             `json:"estimated_input_tokens"`
	Route      string            `json:"route"`
	Strategy   string            `json:"strategy"`
	Reason     string            `json:"reason"`
	Rule       string            `json:"rule,omitempty"` // that decided
	Task       *ExplainedTask    `json:"task,omitempty"` // where it was asked for
	Weights    config.Weights    `json:"weights"`
	Output     int64             `json:"expected_output_tokens"`
	Downgraded string            `json:"downgraded,omitempty"` // the pressure
	Arm        string            `json:"arm,omitempty"`        // of a canary or an experiment
	Mirror     string            `json:"mirror,omitempty"`     // the model that gets a copy
	Candidates []route.Scored    `json:"candidates"`
	Others     int               `json:"other_candidates,omitempty"` // of a long list, with lower scores
	Attempts   []PlannedAttempt  `json:"attempts"`
	Limits     []limit.Level     `json:"limits,omitempty"` // that the request counts against
	Refused    *ExplainedRefusal `json:"refused,omitempty"`
}

// ExplainedTask is what the request was taken for.
type ExplainedTask struct {
	Class      string  `json:"class"`
	Difficulty float64 `json:"difficulty"`
}

// PlannedAttempt is one attempt: where it would go and what would be sent.
type PlannedAttempt struct {
	Group    string            `json:"group"`
	Provider string            `json:"provider"`
	Model    string            `json:"model"`
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers,omitempty"`
	Body     json.RawMessage   `json:"body"`
	Dropped  []string          `json:"dropped,omitempty"`
	Error    string            `json:"error,omitempty"`
}

// ExplainedRefusal is the answer that the client would get instead of a provider's.
type ExplainedRefusal struct {
	Status int             `json:"status"`
	Kind   string          `json:"kind"`
	Body   json.RawMessage `json:"body"`
}

// Asked is a request to explain.
type Asked struct {
	Path      string // a query may follow
	Headers   []translate.Header
	Body      []byte
	Principal *config.Principal
}

// Explain takes a request through the same steps as a real one, without counting, storing or sending anything. gate says where
// its limits stand.
func Explain(snap *config.Snapshot, view *health.View, a Asked, random float64, now time.Time, gate *limit.Gate) Explanation {
	ex := &Exchange{snap: snap, principal: a.Principal, body: a.Body, start: now}
	out := Explanation{Principal: a.Principal.Path()}
	in := ex.hear(&a)
	if _, err := ex.resolve(in); err != nil {
		return out.refused(ex, err)
	}
	if ex.badTimeout {
		return out.refused(ex, badTimeout())
	}
	out.Schema = string(ex.endpoint.client.Schema())
	if len(a.Body) > snap.Limits.MaxBody {
		return out.refused(ex, ex.tooLarge())
	}
	if err := ex.parse(); err != nil {
		return out.refused(ex, err)
	}
	out.Asked, out.Stream, out.Tokens = ex.head.Model, ex.head.Stream, ex.head.InputTokens()
	rt, err := ex.permit()
	if err != nil {
		return out.refused(ex, err)
	}
	rt, err = ex.rule(rt)
	out.Rule = ex.ruled.rule
	if err != nil {
		return out.refused(ex, err)
	}
	ex.asked, ex.gauge = ex.head, window.NewGauge(ex.head, ex.decoded)
	if ex.endpoint.op != opCount {
		q := ex.limitRequest("check", now)
		if out.Limits, err = gate.Plan(&q); err != nil {
			return out.refused(ex, err)
		}
	}
	err = ex.decide(view, rt, random, now)
	out.decided(ex)
	if err != nil {
		return out.refused(ex, err)
	}
	for i := range ex.decision.Plan {
		out.Attempts = append(out.Attempts, ex.planned(&ex.decision.Plan[i]))
	}
	return out
}

// hear reads the request's headers as they would be after Envoy has let in those that may come in, in the order of a client.
func (ex *Exchange) hear(a *Asked) incoming {
	hs := []field{{":method", "POST"}, {":path", a.Path}}
	for _, h := range a.Headers {
		if name := strings.ToLower(h.Name); Enters(ex.snap, name) {
			hs = append(hs, field{name, h.Value})
		}
	}
	ex.keepTold(hs)
	return ex.readHeaders(hs)
}

// Enters says whether Envoy lets a client's header in; names are in lower case. All others are dropped at the door.
func Enters(snap *config.Snapshot, name string) bool {
	return slices.Contains(wiring.ClientHeaders, name) || slices.Contains(snap.Headers, name)
}

// decided shows how it came to a decision, if it did.
func (e *Explanation) decided(ex *Exchange) {
	if ex.class != nil {
		e.Task = &ExplainedTask{ex.class.Task.String(), ex.class.Difficulty}
	}
	d := ex.decision
	if d == nil {
		return
	}
	e.Route, e.Strategy, e.Reason = d.Route, string(d.Strategy), ex.Explain()
	e.Candidates, e.Others, e.Weights, e.Output = d.Candidates, d.Left, d.Weights, d.Tokens
	e.Arm, e.Downgraded = d.Arm, ex.downgraded
	if d.Mirror != nil {
		e.Mirror = d.Mirror.Model.Ref
	}
}

func (ex *Exchange) planned(step *route.Step) PlannedAttempt {
	a := PlannedAttempt{Group: step.Group, Provider: string(step.Provider.Name), Model: step.Model.ID}
	up, err := ex.encode(step)
	if err != nil {
		a.Error = asFault(err).Message
		return a
	}
	a.Path, a.Body, a.Dropped = up.Path, up.Body, up.Dropped
	if len(up.Headers) > 0 {
		a.Headers = make(map[string]string, len(up.Headers))
		for _, h := range up.Headers {
			a.Headers[h.Name] = h.Value
		}
	}
	return a
}

func (e Explanation) refused(ex *Exchange, err error) Explanation {
	f := asFault(err)
	status, body := ex.endpoint.client.EncodeFault(f, "")
	e.Refused = &ExplainedRefusal{Status: status, Kind: f.Kind.String(), Body: body}
	return e
}
