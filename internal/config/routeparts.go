package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// routing compiles what a route says about choosing, beyond its strategy and candidates.
func (b *builder) routing(path string, r *dragomanv1.Route, out *Route) {
	out.LocalFirst, out.Sticky = r.GetLocalFirst(), Sticky(r.Sticky)
	a := r.Affinity
	out.Affinity = Affinity{On: a.GetEnabled(), MinTokens: int64(a.MinTokens), Load: a.GetLoad(), Tolerance: a.GetTolerance()}
	if out.Affinity.Load > 0 && out.Affinity.Load < 1 {
		b.fail(path+".affinity.load", "must be 0 or at least 1: with less no cluster could take its own share")
	}
	if r.Sticky != string(StickyNone) && out.Strategy != Weighted && out.Strategy != Experiment {
		b.warn("route %s: sticky counts only with strategy: weighted or experiment", r.Model)
	}
	if q := r.Queue; q != nil {
		out.Queue = &Queue{Length: int(q.Length), Wait: q.Wait.AsDuration()}
	}
	b.ceilings(path+".ceilings", r.Ceilings, out)
	b.canary(path, r, out)
	b.mirror(path, r, out)
	b.variants(path, out)
	b.downgrade(path+".downgrade", r, out)
}

func (b *builder) ceilings(path string, c *dragomanv1.Ceilings, out *Route) {
	if c == nil {
		return
	}
	out.Ceilings = Ceilings{Cost: micro(c.Cost, 0), InputPrice: micro(c.InputPrice, 0), OutputPrice: micro(c.OutputPrice, 0),
		Latency: c.Latency.AsDuration(), DataRegions: c.DataRegions, Providers: c.Providers}
	for i, name := range c.Providers {
		b.knownProvider(fmt.Sprintf("%s.providers[%d]", path, i), name)
	}
	for i, region := range c.DataRegions {
		if !slices.ContainsFunc(b.snap.Providers, func(p *Provider) bool { return p.DataRegion == region }) {
			b.fail(fmt.Sprintf("%s.data_regions[%d]", path, i), "no provider has the data_region %q", clip(region))
		}
	}
}

func (b *builder) knownProvider(path, name string) {
	if b.snap.providers[ProviderName(name)] == nil && !b.file.related("providers") {
		b.fail(path, "no provider named %q%s", clip(name), didYouMean(name, b.providerNames()))
	}
}

// one resolves a model that only one provider may serve.
func (b *builder) one(path, name string) *Model {
	models := b.candidate(path, &dragomanv1.Candidate{Model: name})
	if len(models) > 1 {
		b.fail(path+".model", "%q is served by several providers: write provider/model", clip(name))
	}
	if len(models) == 0 {
		return nil
	}
	return models[0]
}

func (b *builder) canary(path string, r *dragomanv1.Route, out *Route) {
	c := r.Canary
	if (c != nil) != (out.Strategy == Canarying) {
		b.fail(path+".canary", "and strategy: canary belong together")
	}
	if c == nil || c.Model == "" {
		return
	}
	path += ".canary"
	k := &Canary{Model: b.one(path, c.Model), Share: c.GetShare(), ErrorMargin: c.GetErrorMargin(), LatencyMargin: c.GetLatencyMargin(),
		MinRequests: int(c.MinRequests), Window: c.Window.AsDuration()}
	if c.Start != "" {
		start, err := time.Parse(time.RFC3339, c.Start)
		if err != nil {
			b.fail(path+".start", "must be a time such as 2026-03-01T12:00:00Z")
		}
		k.Start = start
	}
	for i, step := range c.Ramp {
		at := step.After.AsDuration()
		if n := len(k.Ramp); n > 0 && at <= k.Ramp[n-1].After {
			b.fail(fmt.Sprintf("%s.ramp[%d].after", path, i), "must be later than the step before")
		}
		k.Ramp = append(k.Ramp, RampStep{After: at, Share: step.GetShare()})
	}
	k.ID = out.Name + " " + c.String()
	if slices.ContainsFunc(out.Candidates, func(x Candidate) bool { return x.Model == k.Model }) {
		if len(r.Candidates) > 0 {
			b.fail(path+".model", "%q is a candidate too: the candidates are the baseline", clip(c.Model))
		}
		out.Candidates = slices.DeleteFunc(out.Candidates, func(x Candidate) bool { return x.Model == k.Model })
	}
	if k.Model != nil {
		out.Candidates = append(out.Candidates, Candidate{Model: k.Model, Weight: 1})
		out.Canary = k
	}
}

func (b *builder) mirror(path string, r *dragomanv1.Route, out *Route) {
	m := r.Mirror
	if m == nil {
		if out.Strategy == Mirroring {
			b.fail(path+".mirror", "is missing: strategy: mirror needs to know the model that gets the copies")
		}
		return
	}
	if m.Model == "" {
		return
	}
	if model := b.one(path+".mirror", m.Model); model != nil {
		out.Mirror = &Mirror{Model: model, Share: m.GetShare(), MaxInFlight: int(m.MaxInFlight)}
		b.loopback()
	}
}

// variants of an experiment need names of their own: their results are kept by them.
func (b *builder) variants(path string, out *Route) {
	if out.Strategy != Experiment {
		for i := range out.Candidates {
			out.Candidates[i].Variant = ""
		}
		return
	}
	models := map[string]*Model{}
	for i, c := range out.Candidates {
		if c.Variant == "" {
			out.Candidates[i].Variant, c.Variant = c.Model.Name, c.Model.Name
		}
		if first := models[c.Variant]; first != nil && first.Name != c.Model.Name {
			b.fail(path+".candidates", "two variants are called %q", c.Variant)
		}
		models[c.Variant] = c.Model
	}
	switch {
	case len(models) == 1:
		b.warn("route %s: an experiment of a single variant", out.Name)
	case len(models) > maxVariants:
		b.fail(path+".candidates", "are more than %d variants", maxVariants)
	}
}

// maxVariants bounds what an experiment adds to the metrics.
const maxVariants = 20

func (b *builder) downgrade(path string, r *dragomanv1.Route, out *Route) {
	d := r.Downgrade
	if d == nil {
		return
	}
	k := &Downgrade{BudgetLeft: d.GetBudgetLeft(), Queue: d.GetQueue(), Latency: d.Latency.AsDuration()}
	k.Candidates, _, _ = b.candidateList(path+".candidates", d.Candidates)
	if d.BudgetLeft == nil && d.Queue == nil && d.Latency == nil {
		b.fail(path, "says under which pressure: budget_left, queue or latency")
	}
	if d.Queue != nil && out.Queue == nil {
		b.fail(path+".queue", "needs the route's queue")
	}
	out.Downgrade = k
}

// credentialLimits are those of each credential of a provider, nil where none are granted.
func credentialLimits(p *dragomanv1.Provider) []*CredentialLimits {
	list := make([]*CredentialLimits, len(p.Credentials))
	for i, c := range p.Credentials {
		if l := c.Limits; l != nil && (l.RequestsPerMinute != nil || l.TokensPerMinute != nil || l.Concurrency != nil) {
			list[i] = &CredentialLimits{ID: p.Name + "/" + or(c.Name, "default"), Requests: l.GetRequestsPerMinute(),
				Tokens: l.GetTokensPerMinute(), Concurrency: l.GetConcurrency()}
		}
	}
	return list
}

// isHeaderName takes what a client may send for rules to read.
func isHeaderName(name string) bool {
	if len(name) == 0 || len(name) > 63 || strings.HasPrefix(name, "x-dragoman-") || strings.HasPrefix(name, "x-envoy-") ||
		slices.Contains(reservedHeaders, name) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' && i > 0) {
			return false
		}
	}
	return true
}

// reservedHeaders carry credentials, or mean something to Envoy.
var reservedHeaders = []string{
	"authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie", "proxy-authorization", "x-amz-security-token",
	"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "x-forwarded-for", "x-forwarded-proto", "x-request-id",
}
