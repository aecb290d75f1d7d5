package config

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"dragoman/internal/rules"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// refusalKinds are what a rule may refuse a request as, by the names of fault.Kind.
var refusalKinds = []string{"permission_denied", "invalid_request", "unsupported", "rate_limited", "unavailable"}

// maxRefusal bounds what a rule tells a client, in bytes.
const maxRefusal = 2000

// maxRules bounds what every request has to go through.
const maxRules = 200

// rules compiles the conditions; routes and their names are known by now.
func (b *builder) rules() {
	b.snap.Headers = slices.Clone(b.cfg.Listen.Headers)
	if n := len(b.cfg.Rules); n > maxRules {
		b.fail("rules", "are %d, more than %d", n, maxRules)
		return
	}
	names := map[string]bool{}
	for i, r := range b.cfg.Rules {
		path := fmt.Sprintf("rules[%d]", i)
		name := or(r.Name, fmt.Sprint(i+1))
		if names[name] {
			b.fail(path+".name", "another rule is called %q", name)
		}
		names[name] = true
		if rule := b.rule(path, name, r); rule != nil {
			b.snap.Rules = append(b.snap.Rules, rule)
		}
	}
}

func (b *builder) rule(path, name string, r *dragomanv1.Rule) *Rule {
	out := &Rule{Name: name, Providers: r.Providers}
	if r.When != "" {
		condition, err := rules.Compile(r.When)
		if err != nil {
			b.fail(path+".when", "%s", err)
		} else {
			b.readable(path+".when", condition)
		}
		out.When = condition
	}
	targets := 0
	if r.Route != "" {
		targets++
		route, err := b.snap.Lookup(r.Route)
		if err != nil {
			b.fail(path+".route", "no route or model named %q%s", clip(r.Route), didYouMean(r.Route, append(b.modelNames(), b.routeNames()...)))
		}
		out.Route = route
	}
	if len(r.Providers) > 0 {
		targets++
		for i, p := range r.Providers {
			b.knownProvider(fmt.Sprintf("%s.providers[%d]", path, i), p)
		}
	}
	if r.Refuse != nil {
		targets++
		if n := len(r.Refuse.Message); n > maxRefusal || !utf8.ValidString(r.Refuse.Message) {
			b.fail(path+".refuse.message", "must be at most %d bytes of text", maxRefusal)
		}
		out.Refuse = &Refusal{Message: r.Refuse.Message, Kind: or(r.Refuse.Kind, refusalKinds[0])}
	}
	if targets != 1 {
		b.fail(path, "says one of route, providers and refuse: what becomes of the request")
	}
	if out.When == nil {
		return nil
	}
	return out
}

// readable: a header that the listener drops can never have a value, which would be found out too late.
func (b *builder) readable(path string, c *rules.Condition) {
	for _, name := range c.Headers() {
		if !slices.Contains(b.snap.Headers, name) && !slices.Contains(rules.UsualHeaders, name) {
			b.fail(path, "the header %q does not come in: list it in listen.headers (in lower case)", clip(name))
		}
	}
}

func (b *builder) routeNames() []string {
	var names []string
	for _, r := range b.snap.Routes {
		names = append(names, r.Name)
	}
	return names
}
