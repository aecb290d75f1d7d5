package config

import (
	"strings"

	"dragoman/internal/fault"
)

// Auto is the route that always exists.
const Auto = "auto"

// maxAsked bounds the name of a model that no catalogue knows: it ends in a provider's request and in logs.
const maxAsked = 200

// Provider finds one by name, nil when absent.
func (s *Snapshot) Provider(name ProviderName) *Provider { return s.providers[name] }

// Cluster finds one by name, nil when absent.
func (s *Snapshot) Cluster(name ClusterName) *Cluster { return s.clusters[name] }

// Route finds a configured one (or auto) by name, nil when absent.
func (s *Snapshot) Route(name string) *Route { return s.routes[name] }

// Lookup resolves what a client asked for: a route, a name or alias of the catalogue, or provider/model for any model of
// a provider, known or not. Anything else is fault.NotFound with code model_not_found. It allocates only for a model that is
// not known.
func (s *Snapshot) Lookup(name string) (*Route, error) {
	if r := s.lookup[name]; r != nil {
		return r, nil
	}
	if m := s.unknown(name); m != nil {
		r := implicitRoute(name, []*Model{m})
		r.Exact, r.Semantic = s.exact, s.semantic
		return r, nil
	}
	f := fault.New(fault.NotFound, "The model %q does not exist here. Ask for a route or a model that GET /v1/models lists, or for provider/model.", clip(name))
	f.Param, f.Code = "model", "model_not_found"
	return nil, f
}

func implicitRoute(name string, models []*Model) *Route {
	r := &Route{Name: name, Strategy: Balanced, Weights: DefaultWeights, Overlong: OverlongNext, Implicit: true, Routing: defaultRouting(Balanced)}
	for _, m := range models {
		r.Candidates = append(r.Candidates, Candidate{Model: m, Weight: 1})
	}
	r.ByTask = byTask(r)
	return r
}

// unknown reads provider/model for a model that only the provider knows.
func (s *Snapshot) unknown(name string) *Model {
	provider, id, ok := strings.Cut(name, "/")
	if !ok || !isModelName(id) || len(name) > maxAsked {
		return nil
	}
	p := s.providers[ProviderName(provider)]
	if p == nil {
		return nil
	}
	return &Model{Name: name, Ref: name, Provider: p, ID: id}
}

// ListedModel is one entry of GET /v1/models.
type ListedModel struct {
	Name       string
	OwnedBy    string // the provider's name, "dragoman" for a configured route
	Route      bool
	Context    int64  // tokens, 0: unknown, or a route
	MaxOutput  int64  // tokens, 0: unknown, or a route
	Price      *Price // nil: unknown, or a route
	Deprecated bool
	// Capabilities, nil: unknown, or a route. Not to be written to.
	Capabilities []string
}

// Listing is what a principal may ask for: the routes in their order, then the catalogue sorted by name, each name once,
// with the figures of the first provider that serves it.
func (s *Snapshot) Listing(p *Principal) []ListedModel {
	list := make([]ListedModel, 0, len(s.Routes)+len(s.Models))
	for _, r := range s.Routes {
		if p.MayUseRoute(r.Name, r) {
			list = append(list, ListedModel{Name: r.Name, OwnedBy: "dragoman", Route: true})
		}
	}
	last := ""
	for _, m := range s.Models {
		r := s.lookup[m.Name]
		if m.Name == last || r == nil || !r.Implicit || !p.MayUseRoute(m.Name, r) {
			continue
		}
		last = m.Name
		list = append(list, ListedModel{Name: m.Name, OwnedBy: string(m.Provider.Name), Context: m.Context,
			MaxOutput: m.MaxOutput, Price: m.Price, Deprecated: m.Deprecated, Capabilities: m.able()})
	}
	return list
}

// clip shortens what a client or a file said before it is shown back.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
