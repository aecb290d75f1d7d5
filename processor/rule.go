package processor

import (
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/rules"
)

// ruled is what the rules made of a request.
type ruled struct {
	rule      string   // that decided, "" for none
	providers []string // that it leaves, nil: all
}

// rule applies the first rule that holds: the request goes elsewhere than it asked, to fewer providers, or nowhere. Without rules it
// costs a comparison.
func (ex *Exchange) rule(rt *config.Route) (*config.Route, error) {
	if len(ex.snap.Rules) == 0 {
		return rt, nil
	}
	in := ex.ruleInput()
	for _, r := range ex.snap.Rules {
		if ex.unread(r.When.Wants()) {
			continue
		}
		holds, err := r.When.Holds(in)
		if err != nil {
			ex.ruleFailed(r, err)
		}
		if holds {
			return ex.applyRule(r, rt)
		}
	}
	return rt, nil
}

// unread says that a condition asks for what nobody knows: for the body of an upload, which is passed on as it comes, or of a request about
// objects, or for a model that such a request does not name. Any value would be a guess, and "!stream" would hold for each of them.
func (ex *Exchange) unread(w rules.Wants) bool {
	if pass := ex.endpoint.pass; pass == nil || !pass.form && pass.object == "" {
		return false
	}
	return w.Body || w.Model && ex.head.Model == ""
}

// ruledByModel says that a rule asks for the model: then one that stands behind an upload's file, where it cannot be read in time, would get
// past the rule.
func (ex *Exchange) ruledByModel() bool {
	return slices.ContainsFunc(ex.snap.Rules, func(r *config.Rule) bool {
		w := r.When.Wants()
		return w.Model && !w.Body
	})
}

func (ex *Exchange) applyRule(r *config.Rule, rt *config.Route) (*config.Route, error) {
	ex.ruled.rule = r.Name
	action := "route"
	defer func() {
		if ex.s != nil {
			ex.s.Metrics.Rule(r.Name, action)
		}
	}()
	switch {
	case r.Refuse != nil:
		action = "refuse"
		f := fault.New(refusals[r.Refuse.Kind], "%s", r.Refuse.Message)
		f.Code = "refused_by_rule"
		return nil, f
	case r.Providers != nil:
		action = "providers"
		ex.ruled.providers = r.Providers
		return rt, nil
	case ex.endpoint.pass != nil:
		action = "none" // what passes goes to whom its API is served by
		return rt, nil
	}
	target := ex.principal.Reachable(r.Route)
	if target == nil {
		return nil, fault.New(fault.PermissionDenied, "A rule of the gateway sends this request to %q, which no provider that this key may reach serves.", r.Route.Name)
	}
	ex.route, ex.policy = target.Name, target
	return target, nil
}

// refusals are the kinds that a rule may say.
var refusals = map[string]fault.Kind{
	"permission_denied": fault.PermissionDenied, "invalid_request": fault.InvalidRequest, "unsupported": fault.Unsupported,
	"rate_limited": fault.RateLimited, "unavailable": fault.Unavailable,
}

// ruleFailed notes a condition that could not be evaluated. It did not hold. Each rule says so once a process: a client could make it
// happen all the time.
func (ex *Exchange) ruleFailed(r *config.Rule, err error) {
	if ex.s == nil {
		return
	}
	ex.s.Metrics.Rule(r.Name, "error")
	once, _ := ex.s.ruleErrors.LoadOrStore(r.Name, new(sync.Once))
	once.(*sync.Once).Do(func() {
		ex.s.Log.Warn("a rule's condition cannot be evaluated for a request, and so does not hold", "rule", r.Name, "error", err)
	})
}

// ruleInput is what conditions can ask about. What costs something is found out when it is asked for.
func (ex *Exchange) ruleInput() *rules.Input {
	h, p := ex.head, ex.principal
	in := &rules.Input{
		Tenant: p.Tenant, Team: p.Team, Key: p.Key, Tags: p.Tags, Model: h.Model, User: h.User, Schema: string(h.Schema),
		Path: ex.endpoint.path, Tokens: h.InputTokens(), MaxTokens: h.MaxTokens, Stream: h.Stream, Tools: int64(h.Tools),
		Images: int64(h.Images), Time: ex.start, Headers: ex.told,
	}
	in.Metadata = ex.metadata
	in.Classify = func() (string, float64) {
		r := ex.classified()
		return r.Task.String(), r.Difficulty
	}
	return in
}

// keepTold keeps the headers that rules may read. They are few, and a request has them only where there are rules.
func (ex *Exchange) keepTold(hs []field) {
	if len(ex.snap.Rules) == 0 {
		return
	}
	ex.told = map[string]string{}
	for i := range hs {
		if slices.Contains(rules.UsualHeaders, hs[i].name) || slices.Contains(ex.snap.Headers, hs[i].name) {
			ex.told[hs[i].name] = hs[i].value
		}
	}
}

// metadata is the text members of the body's `metadata`.
func (ex *Exchange) metadata() map[string]string {
	out := map[string]string{}
	if raw := ex.head.Field("metadata"); raw != nil {
		gjson.ParseBytes(raw).ForEach(func(name, value gjson.Result) bool {
			if value.Type == gjson.String && len(out) < maxMembers {
				out[name.String()] = value.String()
			}
			return true
		})
	}
	return out
}

// maxMembers is how many members of `metadata` are looked at; vendors take 16.
const maxMembers = 64

// allowance is what the request itself, and a rule about it, allow beside the route's ceilings.
func (ex *Exchange) allowance() (config.Ceilings, error) {
	if ex.wishes.fault != nil {
		return config.Ceilings{}, ex.wishes.fault
	}
	c := ex.wishes.ceilings
	c.Providers = narrow(c.Providers, ex.ruled.providers)
	return c, nil
}

// narrowed names what narrows the request's providers, for the cache's key: the answer may be another.
func (ex *Exchange) narrowed() string {
	if ex.ruled.providers == nil && ex.wishes.text == "" {
		return ""
	}
	return "\x00" + ex.wishes.text + "\x00" + strings.Join(ex.ruled.providers, ",")
}
