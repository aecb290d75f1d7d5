package config

import (
	"fmt"
	"slices"
	"strings"

	dragomanv1 "dragoman/proto/dragoman/v1"
	"dragoman/translate/chat"
)

// maxClusters bounds the product of endpoints and credentials: each cluster costs Envoy filters, pools and statistics.
const maxClusters = 1000

// providers compiles every provider into clusters, one per endpoint and credential.
func (b *builder) providers() {
	for i, p := range b.cfg.Providers {
		path := fmt.Sprintf("providers[%d]", i)
		if p.Name != "" && b.snap.providers[ProviderName(p.Name)] != nil {
			b.fail(path+".name", "another provider is called %q", p.Name)
			continue
		}
		b.provider(path, p)
	}
	if n := len(b.snap.Clusters); n > maxClusters {
		b.fail("providers", "make %d clusters (endpoints × credentials), more than %d", n, maxClusters)
	}
}

func (b *builder) provider(path string, p *dragomanv1.Provider) {
	out := &Provider{Name: ProviderName(p.Name), Index: len(b.snap.Providers), Schema: chat.Schema(p.Schema),
		Local: p.Locality == "local", DataRegion: p.DataRegion, HTTP: p.Http, Demo: b.snap.Demo, APIVersion: p.ApiVersion, APIs: b.apis(path, p)}
	if p.Dialect != none {
		out.Dialect = p.Dialect
	}
	b.snap.Providers = append(b.snap.Providers, out)
	b.snap.providers[out.Name] = out
	b.catalogue[out.Name] = p.Catalogue

	schema := schemaOf(p.Schema)
	if schema == nil {
		if p.Schema == "" {
			b.fail(path+".schema", "is missing: what does the provider speak, %s?", oneOf(schemaNames()))
		}
		return
	}
	if p.Tls.GetCa() != "" {
		out.CA, out.CAData = p.Tls.Ca, b.authorities(path+".tls.ca", p.Tls.Ca)
	}
	b.check(path, p, out)
	b.dialect(path, p)
	secrets := b.credentials(path, p)
	if endpoints, ok := b.endpoints(path, p, schema); ok && secrets != nil {
		out.BasePath = endpoints[0].basePath
		b.clusters(out, p, schema, endpoints, secrets)
	}
	b.providerWarnings(out, p)
	b.found(out, p, secrets)
}

// apis are the APIs beyond chat.
func (b *builder) apis(path string, p *dragomanv1.Provider) map[string]bool {
	out := map[string]bool{}
	for i, api := range p.Apis {
		switch {
		case api == none && len(p.Apis) > 1:
			b.fail(fmt.Sprintf("%s.apis[%d]", path, i), "none stands alone")
		case out[api]:
			b.fail(fmt.Sprintf("%s.apis[%d]", path, i), "stands here twice")
		}
		out[api] = true
	}
	delete(out, none)
	return out
}

// dialect checks what only some dialects know and need.
func (b *builder) dialect(path string, p *dragomanv1.Provider) {
	v := vendorByDialect(p.Dialect)
	if v != nil && !v.speaks(p.Schema) {
		b.fail(path+".dialect", "%s is a dialect of the schema %s, not of %s", p.Dialect, v.schema, p.Schema)
		return
	}
	if p.Dialect == "vertex" && p.Project == "" && !slices.ContainsFunc(p.Credentials, func(c *dragomanv1.Credential) bool { return c.Secret != nil && c.Scheme == "api_key" }) {
		b.fail(path+".project", "is missing: requests to Vertex AI belong to a project")
	}
	for _, field := range []struct{ name, value, dialect string }{
		{"api_version", p.ApiVersion, "azure"}, {"project", p.Project, "vertex"}, {"location", p.Location, "vertex"},
	} {
		if field.value != "" && p.Dialect != field.dialect {
			b.fail(path+"."+field.name, "means something only with dialect: %s", field.dialect)
		}
	}
	if p.Region != "" && p.Schema != string(chat.Bedrock) {
		b.fail(path+".region", "means something only with schema: bedrock")
	}
}

// endpoints reads the URLs; false when one is at fault.
func (b *builder) endpoints(path string, p *dragomanv1.Provider, schema *schemaSpec) ([]endpoint, bool) {
	if p.Endpoint != "" { // the defaults moved it unless endpoints stand beside it
		b.fail(path+".endpoint", "is instead of endpoints: keep one of the two")
		return nil, false
	}
	if len(p.Endpoints) == 0 {
		b.fail(path+".endpoint", "is missing: give the base URL of the API")
		return nil, false
	}
	single := b.file.lines[path+".endpoints"] == 0
	names, list, ok := map[string]bool{}, []endpoint(nil), true
	var weight uint32
	for i, e := range p.Endpoints {
		at := fmt.Sprintf("%s.endpoints[%d]", path, i)
		url := at + ".url"
		if single && len(p.Endpoints) == 1 {
			url = path + ".endpoint"
		}
		parsed, fault := parseEndpoint(e.Url, baseOf(p, schema))
		if fault != "" {
			b.fail(url, "%s", fault)
			ok = false
		} else if len(list) > 0 && parsed.basePath != list[0].basePath {
			b.fail(url, "has another path than the first: all endpoints of a provider share it (make it a provider of its own)")
		}
		if names[e.Name] {
			b.fail(at+".name", "another endpoint is called %q", e.Name)
		}
		names[e.Name] = true
		weight += e.GetWeight()
		list = append(list, parsed)
	}
	if weight == 0 {
		b.fail(path+".endpoints", "have all weight 0")
	}
	return list, ok
}

// credentials resolves what each credential stands for; one empty material for a provider without. Nil when one is at fault.
func (b *builder) credentials(path string, p *dragomanv1.Provider) []material {
	if len(p.Credentials) == 0 {
		return []material{{}}
	}
	names, list, ok := map[string]bool{}, []material(nil), true
	var weight uint32
	for i, c := range p.Credentials {
		at := fmt.Sprintf("%s.credentials[%d]", path, i)
		m, fine := b.material(at, p, c)
		ok = ok && fine
		if names[c.Name] {
			b.fail(at+".name", "another credential is called %q", c.Name)
		}
		names[c.Name] = true
		weight += c.GetWeight()
		list = append(list, m)
	}
	if weight == 0 {
		b.fail(path+".credentials", "have all weight 0")
	}
	if !ok {
		return nil
	}
	return list
}

func (b *builder) clusters(out *Provider, p *dragomanv1.Provider, schema *schemaSpec, endpoints []endpoint, materials []material) {
	limits := credentialLimits(p)
	for i, e := range endpoints {
		for j, m := range materials {
			c := &Cluster{Index: len(b.snap.Clusters), Provider: out, Host: e.host, Port: e.port, TLS: e.tls,
				BasePath: e.basePath, Weight: p.Endpoints[i].GetWeight()}
			if e.tls {
				c.ServerName = or(p.Tls.GetServerName(), e.host)
			}
			credential := ""
			if len(p.Credentials) > 0 {
				credential = p.Credentials[j].Name
				c.Weight = share(p.Endpoints[i].GetWeight(), len(endpoints), p.Credentials[j].GetWeight(), len(materials))
				c.authenticate(p, schema, p.Credentials[j], &m)
				c.Limits = limits[j]
			}
			c.Name = clusterName(p.Name, p.Endpoints[i].Name, credential)
			if b.snap.clusters[c.Name] != nil { // cannot be, while names are unique and hold no slash
				b.fail("providers", "two clusters are called %q", c.Name)
				continue
			}
			b.snap.clusters[c.Name] = c
			b.snap.Clusters = append(b.snap.Clusters, c)
			out.Clusters = append(out.Clusters, c)
		}
	}
}

// authenticate says how a cluster's requests get their credential.
func (c *Cluster) authenticate(p *dragomanv1.Provider, schema *schemaSpec, credential *dragomanv1.Credential, m *material) {
	c.Secret, c.Signing, c.Grant = m.secret, m.signing, m.grant
	if m.signing != nil {
		return
	}
	c.SecretName = "credential/" + p.Name + "/" + or(credential.Name, "default")
	v := vendorByDialect(p.Dialect)
	switch {
	case m.grant != nil || credential.Scheme == "bearer":
		c.Header, c.Prefix = "authorization", "Bearer "
	case v != nil && v.header != "":
		c.Header = v.header
	case p.Dialect == "vertex":
		c.Header = schemaOf(string(chat.Gemini)).header
	default:
		c.Header, c.Prefix = schema.header, schema.prefix
	}
}

// clusterName follows the rule that ClusterName documents; the defaults have named what has siblings.
func clusterName(provider, endpoint, credential string) ClusterName {
	name := provider
	if endpoint != "" {
		name += "/" + endpoint
	}
	if credential != "" {
		name += "/" + credential
	}
	if name == provider {
		name += "/default"
	}
	return ClusterName(name)
}

// share is a cluster's weight: the endpoint's or the credential's where only one of them has siblings, so that it reads as
// it was written; else their product.
func share(endpoint uint32, endpoints int, credential uint32, credentials int) uint32 {
	switch {
	case endpoints > 1 && credentials > 1:
		return endpoint * credential
	case endpoints > 1:
		return endpoint
	default:
		return credential
	}
}

func (b *builder) providerWarnings(out *Provider, p *dragomanv1.Provider) {
	for _, c := range out.Clusters {
		if !c.TLS && (c.SecretName != "" || c.Signing != nil) && !isLoopback(c.Host) {
			b.warn("provider %s: the credential is sent to %s in clear text (http://)", out.Name, c.Host)
			break
		}
	}
	for _, c := range out.Clusters {
		if !c.TLS && p.Tls != nil {
			b.warn("provider %s: tls has no effect on an endpoint that begins with http://", out.Name)
			break
		}
	}
}

// found adds the provider's row to the table that `run` prints.
func (b *builder) found(out *Provider, p *dragomanv1.Provider, materials []material) {
	var urls, sources []string
	for _, e := range p.Endpoints {
		urls = append(urls, e.Url)
	}
	for i := range min(len(p.Credentials), len(materials)) {
		sources = append(sources, materials[i].source())
	}
	if len(sources) == 0 {
		sources = []string{none}
	}
	b.snap.Found = append(b.snap.Found, Found{Provider: out.Name, Schema: out.Schema, Endpoint: strings.Join(urls, ", "),
		Credential: strings.Join(sources, ", ")})
}
