package config

import (
	"slices"
	"strconv"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// providerDefaults fill in what is known of a provider by its dialect, its endpoint's host or its name: `{name: openai}` alone is
// a whole provider.
func providerDefaults(p *dragomanv1.Provider, env lookup) {
	if p.Endpoint != "" && len(p.Endpoints) == 0 {
		p.Endpoints = []*dragomanv1.Endpoint{{Url: p.Endpoint}}
		p.Endpoint = ""
	}
	named, official := vendorOf(p.Name), officialAt(p.Endpoints)
	known := orVendor(vendorByDialect(p.Dialect), orVendor(official, named))
	if known != nil {
		p.Schema = or(p.Schema, string(known.schema))
		if !known.speaks(p.Schema) {
			known = nil
		}
	}
	if known != nil {
		p.Dialect = or(p.Dialect, known.dialect)
		if known.dialect == "vertex" {
			p.Location = or(p.Location, "global")
		}
		if len(p.Endpoints) > 0 && known.name == "bedrock" {
			p.Region = or(p.Region, regionOf(p.Endpoints[0].Url))
		}
		if url := known.endpointOf(p); url != "" && len(p.Endpoints) == 0 && p.Endpoint == "" {
			p.Endpoints = []*dragomanv1.Endpoint{{Url: url}}
			official = known
		}
	}
	p.Dialect = or(p.Dialect, none)
	if official != nil && len(p.Credentials) == 0 {
		p.Credentials = officialCredential(official, env)
	}
	if len(p.Apis) == 0 && known != nil && p.Schema == string(known.schema) {
		p.Apis = slices.Clone(known.apis)
	}
	p.Catalogue = or(p.Catalogue, catalogueOf(p, official, named))
	p.Locality = or(p.Locality, "remote")
	p.Http = or(p.Http, "auto")
	siblingDefaults(p)
}

// siblingDefaults name what there are several of, and weigh it.
func siblingDefaults(p *dragomanv1.Provider) {
	for i, e := range p.Endpoints {
		if len(p.Endpoints) > 1 {
			e.Name = or(e.Name, strconv.Itoa(i+1))
		}
		e.Weight = orPointer(e.Weight, defaultWeight)
	}
	for i, c := range p.Credentials {
		if len(p.Credentials) > 1 {
			c.Name = or(c.Name, strconv.Itoa(i+1))
		}
		c.Weight = orPointer(c.Weight, defaultWeight)
		c.Scheme = or(c.Scheme, "api_key")
		if e := c.Entra; e != nil {
			e.Authority = or(e.Authority, "https://login.microsoftonline.com")
			e.Scope = or(e.Scope, "https://cognitiveservices.azure.com/.default")
		}
	}
}

// endpointOf is where a provider's requests go when it says nothing itself.
func (v *vendor) endpointOf(p *dragomanv1.Provider) string {
	if v.locate != nil {
		return v.locate(p)
	}
	return v.endpoint
}

// officialCredential is what a vendor's API is asked with when nothing is said: the vendor's own variables. When none is set,
// the first is named, so that the fault says what is lacking.
func officialCredential(v *vendor, env lookup) []*dragomanv1.Credential {
	if c, _ := v.credential(env); c != nil {
		return []*dragomanv1.Credential{c}
	}
	switch {
	case v.local:
		return nil
	case v.name == "vertex":
		return []*dragomanv1.Credential{{Google: &dragomanv1.GoogleCredential{Key: envSecret("GOOGLE_APPLICATION_CREDENTIALS")}}}
	case len(v.keys) > 0:
		return []*dragomanv1.Credential{{Secret: envSecret(v.keys[0])}}
	}
	return []*dragomanv1.Credential{{Secret: envSecret(v.token), Scheme: "bearer"}}
}

// catalogueOf guesses whose models a provider serves: those of the vendor whose host it is, or whose name it has. A server of
// one's own that takes no key hardly serves a vendor's models, whatever it is called.
func catalogueOf(p *dragomanv1.Provider, official, named *vendor) string {
	if named != nil && len(p.Credentials) == 0 {
		named = nil
	}
	if v := orVendor(official, named); v != nil && p.Schema == string(v.schema) {
		return v.name
	}
	return none
}

// officialAt finds the vendor whose own API the first endpoint is, nil when it is nobody's.
func officialAt(endpoints []*dragomanv1.Endpoint) *vendor {
	for i := range vendors {
		if len(endpoints) > 0 && vendors[i].at(endpoints[0].Url) {
			return &vendors[i]
		}
	}
	return nil
}

func orVendor(a, b *vendor) *vendor {
	if a != nil {
		return a
	}
	return b
}
