package config

import (
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// discover adds the providers that the environment speaks of, as their own SDKs read it, when the file names none; and the
// built-in demo providers when there is nothing else.
func (b *builder) discover() {
	if len(b.cfg.Providers) > 0 || b.file.related("providers") {
		return
	}
	for i := range vendors {
		v := &vendors[i]
		p, lacks := b.fromEnvironment(v)
		if lacks == "" {
			lacks = b.listModels(v, p)
		}
		if lacks == "" {
			b.cfg.Providers = append(b.cfg.Providers, p)
			continue
		}
		b.lacking = append(b.lacking, Found{Provider: ProviderName(v.name), Schema: v.schema, Endpoint: v.endpoint, Credential: "none", Lacks: lacks})
	}
	if len(b.cfg.Providers) == 0 && len(b.problems.List) == 0 {
		b.demo()
	}
}

// fromEnvironment makes the provider of one vendor, or says what it lacks.
func (b *builder) fromEnvironment(v *vendor) (*dragomanv1.Provider, string) {
	p := &dragomanv1.Provider{Name: v.name, Schema: string(v.schema)}
	variable, base := lookup(b.env).first(v.bases...)
	if base != "" {
		p.Endpoints = []*dragomanv1.Endpoint{{Url: base}}
	}
	credential, missing := v.credential(b.env)
	if credential != nil {
		p.Credentials = []*dragomanv1.Credential{credential}
	}
	if v.prepare != nil {
		if lacks := v.prepare(b.env, p); lacks != "" {
			return nil, or(missing, lacks)
		}
	}
	own := base != "" && !v.at(base) // a server of one's own may take no key
	if credential == nil && missing != "" && !own {
		return nil, missing
	}
	if credential == nil && v.local && len(p.Endpoints) == 0 && !b.mayGuess(v) {
		return nil, variableOf(v) + " is not set"
	}
	p.Dialect = or(v.dialect, none)
	if base != "" {
		if fault := b.base(v, p, base); fault != "" {
			b.problems.add(Problem{Source: "environment", Path: variable, Message: fault})
			return nil, variable + " " + fault
		}
	}
	if len(p.Endpoints) == 0 {
		p.Endpoints = []*dragomanv1.Endpoint{{Url: v.endpointOf(p)}}
	}
	if v.local {
		p.Locality = "local"
	}
	for _, name := range v.ignored {
		if b.env(name) != "" {
			b.warn("%s is set, and has no effect here", name)
		}
	}
	return p, ""
}

// mayGuess says whether a server may be looked for where it listens by default: an Ollama, unless its variable is set to nothing.
func (b *builder) mayGuess(v *vendor) bool {
	_, set := b.opts.Env("OLLAMA_HOST")
	return v.name == "ollama" && b.opts.Fetch != nil && !set
}

// variableOf is what to set for a server of one's own.
func variableOf(v *vendor) string {
	if len(v.bases) > 0 {
		return v.bases[0]
	}
	return "OLLAMA_HOST"
}

// base reads a base URL as the vendor's own SDK does, which appends its path.
func (b *builder) base(v *vendor, p *dragomanv1.Provider, base string) string {
	if _, fault := parseEndpoint(base, baseOf(p, schemaOf(p.Schema))); fault != "" {
		return fault
	}
	if at := strings.TrimRight(base, "/"); v.appended != "" && !strings.HasSuffix(at, v.appended) {
		p.Endpoints[0].Url = at + v.appended
	}
	return ""
}

func (b *builder) env(name string) string {
	value, _ := b.opts.Env(name)
	return value
}

// demo adds the two built-in providers. auto asks the first and falls back to the second, so that a failover can be seen.
func (b *builder) demo() {
	if b.opts.Demo == nil {
		b.problems.add(Problem{Source: b.file.Name, Path: "providers", Message: "no provider is configured and none was found: " +
			"set OPENAI_API_KEY or ANTHROPIC_API_KEY, or write providers into a configuration file"})
		return
	}
	at, err := b.opts.Demo()
	if err != nil {
		b.problems.add(Problem{Source: b.file.Name, Path: "providers", Message: "the demo providers do not start: " + err.Error()})
		return
	}
	b.snap.Demo = true
	b.warn("no provider was found: the two built-in demo providers answer. Set OPENAI_API_KEY or ANTHROPIC_API_KEY for real ones")
	route := &dragomanv1.Route{Model: Auto, Strategy: string(Fallback)}
	for _, p := range []struct{ name, schema, url string }{
		{DemoOpenAI, "openai", at.OpenAI}, {DemoAnthropic, "anthropic", at.Anthropic},
	} {
		free := 0.0
		b.cfg.Providers = append(b.cfg.Providers, &dragomanv1.Provider{Name: p.name, Schema: p.schema, Catalogue: "none", Locality: "local",
			Endpoints: []*dragomanv1.Endpoint{{Url: p.url}}})
		b.cfg.Models = append(b.cfg.Models, &dragomanv1.Model{Name: p.name, Provider: p.name, Context: 128_000, MaxOutput: 4096,
			Price: &dragomanv1.Price{Input: &free, Output: &free, Source: "built in"}})
		route.Candidates = append(route.Candidates, &dragomanv1.Candidate{Model: p.name})
	}
	for _, r := range b.cfg.Routes {
		if r.Model == Auto {
			return
		}
	}
	b.cfg.Routes = append(b.cfg.Routes, route)
}

// Names of the demo providers, and of the one model that each serves.
const (
	DemoOpenAI    = "demo-openai"
	DemoAnthropic = "demo-anthropic"
)
