package config

import (
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// discover adds the providers that the environment speaks of, as their own SDKs read it, when the file names none; and the
// built-in demo providers when there is nothing else.
func (b *builder) discover() {
	if len(b.cfg.Providers) > 0 || b.file.related("providers") {
		return
	}
	for i := range vendors {
		p, lacks := b.fromEnvironment(&vendors[i])
		if p != nil {
			b.cfg.Providers = append(b.cfg.Providers, p)
			continue
		}
		b.lacking = append(b.lacking, Found{Provider: ProviderName(vendors[i].name), Schema: vendors[i].schema, Endpoint: vendors[i].endpoint,
			Credential: "none", Lacks: lacks})
	}
	if len(b.cfg.Providers) == 0 && len(b.problems.List) == 0 {
		b.demo()
	}
}

// fromEnvironment makes the provider of one vendor, or says what it lacks.
func (b *builder) fromEnvironment(v *vendor) (p *dragomanv1.Provider, lacks string) {
	base, key, token := b.env(v.baseEnv), b.env(v.keyEnv), ""
	if v.tokenEnv != "" && key == "" {
		token = b.env(v.tokenEnv)
	}
	official := base == "" || sameHost(base, v.endpoint)
	if official && key == "" && token == "" {
		return nil, v.keyEnv + " is not set"
	}
	p = &dragomanv1.Provider{Name: v.name, Schema: string(v.schema)}
	p.Endpoints = []*dragomanv1.Endpoint{{Url: or(base, v.endpoint)}}
	if base != "" {
		if _, fault := parseEndpoint(base, schemaOf(string(v.schema))); fault != "" {
			b.problems.add(Problem{Source: "environment", Path: v.baseEnv, Message: fault})
			return nil, v.baseEnv + " " + fault
		}
	}
	switch {
	case key != "":
		p.Credentials = []*dragomanv1.Credential{{Secret: envSecret(v.keyEnv)}}
	case token != "":
		p.Credentials = []*dragomanv1.Credential{{Secret: envSecret(v.tokenEnv), Scheme: "bearer"}}
	} // else a server of one's own, which takes none
	for _, name := range v.ignored {
		if b.env(name) != "" {
			b.warn("%s is set, and has no effect here", name)
		}
	}
	return p, ""
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
