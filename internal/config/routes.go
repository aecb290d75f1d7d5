package config

import (
	"fmt"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// routes compiles the configured routes, adds auto, and makes the table of Lookup.
func (b *builder) routes() {
	for i, r := range b.cfg.Routes {
		path := fmt.Sprintf("routes[%d]", i)
		if r.Model != "" && b.snap.routes[r.Model] != nil {
			b.fail(path+".model", "another route is called %q", clip(r.Model))
			continue
		}
		b.addRoute(b.route(path, r))
	}
	if b.snap.routes[Auto] == nil {
		b.addRoute(&Route{Name: Auto, Strategy: Balanced, Weights: DefaultWeights, Candidates: b.everyModel(), Exact: b.exact(nil), Semantic: b.semanticOn(nil), Overlong: OverlongNext})
	}
	if auto := b.snap.routes[Auto]; len(auto.Candidates) == 0 {
		b.warn("the route %q has no candidates: no model of the configured providers is known. List them (providers[].models), or ask for provider/model", Auto)
	}
	b.lookups()
}

func (b *builder) addRoute(r *Route) {
	b.snap.Routes = append(b.snap.Routes, r)
	b.snap.routes[r.Name] = r
}

func (b *builder) route(path string, r *dragomanv1.Route) *Route {
	out := &Route{Name: r.Model, Strategy: Strategy(r.Strategy), Weights: b.weights(path+".weights", r.Weights), Exact: b.exact(r.Cache), Semantic: b.semanticOn(r.Cache),
		Lossy: r.Unsupported == "drop", Overlong: Overlong(r.Context)}
	if r.Weights != nil && out.Strategy != Balanced {
		b.warn("route %s: weights count only with strategy: balanced", r.Model)
	}
	if len(r.Candidates) == 0 {
		out.Candidates = b.everyModel()
		return out
	}
	seen, sum, weighted := map[*Model]bool{}, 0.0, false
	for i, c := range r.Candidates {
		at := fmt.Sprintf("%s.candidates[%d]", path, i)
		models := b.candidate(at, c)
		weight := 1.0
		if c.Weight != nil {
			weight, weighted = *c.Weight, true
		}
		sum += weight
		for _, m := range models {
			if seen[m] {
				b.fail(at+".model", "%q is a candidate twice", clip(c.Model))
			}
			seen[m] = true
			// A name that several providers serve shares its weight among them.
			out.Candidates = append(out.Candidates, Candidate{Model: m, Weight: weight / float64(len(models))})
		}
	}
	if sum <= 0 {
		b.fail(path+".candidates", "have all weight 0")
	}
	if weighted && out.Strategy != Weighted {
		b.warn("route %s: the weights of candidates count only with strategy: weighted", r.Model)
	}
	return out
}

// candidate resolves one candidate's model.
func (b *builder) candidate(path string, c *dragomanv1.Candidate) []*Model {
	if c.Model == "" {
		return nil // noted as missing
	}
	models := b.resolve(c.Model)
	if len(models) > 0 || b.unlisted || b.file.related("models") || b.file.related("providers") {
		return models // what is not found may be what could not be read
	}
	for _, r := range b.cfg.Routes {
		if r.Model == c.Model {
			b.fail(path+".model", "%q is a route: candidates are models", clip(c.Model))
			return nil
		}
	}
	b.fail(path+".model", "no model named %q%s", clip(c.Model), didYouMean(c.Model, b.modelNames()))
	return nil
}

// weights normalises to a sum of 1.
func (b *builder) weights(path string, w *dragomanv1.Weights) Weights {
	if w == nil || w.Price == nil && w.Latency == nil && w.Quality == nil {
		return DefaultWeights
	}
	sum := w.GetPrice() + w.GetLatency() + w.GetQuality()
	if sum <= 0 {
		b.fail(path, "are all 0")
		return DefaultWeights
	}
	return Weights{Price: w.GetPrice() / sum, Latency: w.GetLatency() / sum, Quality: w.GetQuality() / sum}
}

// everyModel is what auto chooses from: the catalogue without what is deprecated or pinned.
func (b *builder) everyModel() []Candidate {
	var list []Candidate
	for _, m := range b.snap.Models {
		if !m.Deprecated && !m.Pinned {
			list = append(list, Candidate{Model: m, Weight: 1})
		}
	}
	return list
}

// lookups makes the table of Lookup in the order of precedence: the first that claims a name has it.
func (b *builder) lookups() {
	table := b.snap.lookup
	claim := func(name string, models ...*Model) {
		if table[name] == nil && len(models) > 0 {
			table[name] = implicitRoute(name, models)
			table[name].Exact, table[name].Semantic = b.exact(nil), b.semanticOn(nil)
		}
	}
	for name, r := range b.snap.routes {
		table[name] = r
	}
	for name, models := range b.byName {
		claim(name, models...)
	}
	for name, models := range b.byAlias {
		claim(name, models...)
	}
	for name, m := range b.byRef {
		claim(name, m)
	}
}
