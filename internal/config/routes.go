package config

import (
	"fmt"
	"slices"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// virtual are the routes that exist by themselves, over every model that was found; one of the configuration goes before.
var virtual = []struct {
	name     string
	strategy Strategy
}{{Auto, Balanced}, {"fast", Latency}, {"cheap", Cost}, {"quality", Quality}}

// routes compiles the configured routes, adds the virtual ones, and makes the table of Lookup.
func (b *builder) routes() {
	for i, r := range b.cfg.Routes {
		path := fmt.Sprintf("routes[%d]", i)
		if r.Model != "" && b.snap.routes[r.Model] != nil {
			b.fail(path+".model", "another route is called %q", clip(r.Model))
			continue
		}
		b.addRoute(b.route(path, r))
	}
	every := b.everyModel()
	for _, v := range virtual {
		// A model of that name stays what it is; auto has always been a route.
		if b.snap.routes[v.name] != nil || v.name != Auto && (len(every) == 0 || b.byName[v.name] != nil || b.byAlias[v.name] != nil) {
			continue
		}
		b.addRoute(&Route{Name: v.name, Strategy: v.strategy, Weights: v.strategy.Preset(), Candidates: every, Exact: b.exact(nil),
			Semantic: b.semanticOn(nil), Overlong: OverlongNext, Routing: defaultRouting(v.strategy)})
	}
	if auto := b.snap.routes[Auto]; len(auto.Candidates) == 0 {
		b.warn("the route %q has no candidates: no model of the configured providers is known. List them (providers[].models), or ask for provider/model", Auto)
	}
	b.lookups()
	b.rules()
}

func (b *builder) addRoute(r *Route) {
	r.ByTask = byTask(r)
	b.snap.Routes = append(b.snap.Routes, r)
	b.snap.routes[r.Name] = r
}

// byTask says whether it is worth finding out a request's class of task for a route.
func byTask(r *Route) bool {
	if !r.Strategy.Scores() || len(r.Candidates) < 2 || r.Weights.Quality == 0 {
		return false
	}
	return slices.ContainsFunc(r.Candidates, func(c Candidate) bool {
		_, only := c.Model.Quality["default"]
		return len(c.Model.Quality) > 1 || len(c.Model.Quality) == 1 && !only
	})
}

func (b *builder) route(path string, r *dragomanv1.Route) *Route {
	out := &Route{Name: r.Model, Strategy: Strategy(r.Strategy), Exact: b.exact(r.Cache), Semantic: b.semanticOn(r.Cache),
		Lossy: r.Unsupported == "drop", Overlong: Overlong(r.Context)}
	out.Weights = b.weights(path+".weights", r.Weights, out.Strategy)
	if r.Weights != nil && !out.Strategy.Scores() {
		b.warn("route %s: weights count only where candidates are scored, not with strategy: %s", r.Model, out.Strategy)
	}
	b.candidates(path, r, out)
	b.routing(path, r, out)
	out.Retry, out.OnContentPolicy = b.routeRetry(path+".retry", r.Retry), b.policyFallback(path+".on_content_policy", r.OnContentPolicy)
	return out
}

// candidates are the route's models with their weights: every one when it lists none.
func (b *builder) candidates(path string, r *dragomanv1.Route, out *Route) {
	if len(r.Candidates) == 0 {
		out.Candidates = b.everyModel()
		return
	}
	weighs := out.Strategy == Weighted || out.Strategy == Experiment
	sum, weighted := 0.0, false
	out.Candidates, sum, weighted = b.candidateList(path+".candidates", r.Candidates)
	if sum <= 0 {
		b.fail(path+".candidates", "have all weight 0")
	}
	if weighted && !weighs {
		b.warn("route %s: the weights of candidates count only with strategy: weighted or experiment", r.Model)
	}
}

// candidateList resolves models, each of which may stand there once. weighted says that one has a weight of its own.
func (b *builder) candidateList(path string, list []*dragomanv1.Candidate) (out []Candidate, sum float64, weighted bool) {
	seen := map[*Model]bool{}
	for i, c := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
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
			out = append(out, Candidate{Model: m, Weight: weight / float64(len(models)), Variant: or(c.Variant, c.Model)})
		}
	}
	return out, sum, weighted
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
func (b *builder) weights(path string, w *dragomanv1.Weights, s Strategy) Weights {
	if w == nil || w.Price == nil && w.Latency == nil && w.Quality == nil && w.Headroom == nil {
		return s.Preset()
	}
	sum := w.GetPrice() + w.GetLatency() + w.GetQuality() + w.GetHeadroom()
	if sum <= 0 {
		b.fail(path, "are all 0")
		return s.Preset()
	}
	return Weights{Price: w.GetPrice() / sum, Latency: w.GetLatency() / sum, Quality: w.GetQuality() / sum, Headroom: w.GetHeadroom() / sum}
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
