package config

import (
	"fmt"
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
		Local: p.Locality == "local", HTTP: p.Http, Demo: b.snap.Demo}
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
	secrets := b.credentials(path, p)
	if endpoints, ok := b.endpoints(path, p, schema); ok && secrets != nil {
		out.BasePath = endpoints[0].basePath
		b.clusters(out, p, schema, endpoints, secrets)
	}
	b.providerWarnings(out, p)
	b.found(out, p)
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
		parsed, fault := parseEndpoint(e.Url, schema)
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

// credentials resolves the secrets, one per credential, or one empty for a provider without. Nil when one is at fault.
func (b *builder) credentials(path string, p *dragomanv1.Provider) []Secret {
	if len(p.Credentials) == 0 {
		return []Secret{{}}
	}
	names, list, ok := map[string]bool{}, []Secret(nil), true
	var weight uint32
	for i, c := range p.Credentials {
		at := fmt.Sprintf("%s.credentials[%d]", path, i)
		if file := c.GetSecret().GetFile(); file != "" {
			b.files = append(b.files, depend(file))
		}
		secret, fault := resolveSecret(c.Secret, b.opts.Env)
		if fault != "" {
			b.fail(at+".secret", "%s", fault)
			ok = false
		}
		if names[c.Name] {
			b.fail(at+".name", "another credential is called %q", c.Name)
		}
		names[c.Name] = true
		weight += c.GetWeight()
		b.mix([]byte(secret.value))
		list = append(list, secret)
	}
	if weight == 0 {
		b.fail(path+".credentials", "have all weight 0")
	}
	if !ok {
		return nil
	}
	return list
}

func (b *builder) clusters(out *Provider, p *dragomanv1.Provider, schema *schemaSpec, endpoints []endpoint, secrets []Secret) {
	for i, e := range endpoints {
		for j, secret := range secrets {
			c := &Cluster{Index: len(b.snap.Clusters), Provider: out, Host: e.host, Port: e.port, TLS: e.tls,
				BasePath: e.basePath, Secret: secret, Weight: p.Endpoints[i].GetWeight()}
			if e.tls {
				c.ServerName = or(p.Tls.GetServerName(), e.host)
			}
			credential := ""
			if len(p.Credentials) > 0 {
				credential = p.Credentials[j].Name
				c.Weight = share(p.Endpoints[i].GetWeight(), len(endpoints), p.Credentials[j].GetWeight(), len(secrets))
				c.SecretName = "credential/" + p.Name + "/" + or(credential, "default")
				c.Header, c.Prefix = schema.header, schema.prefix
				if p.Credentials[j].Scheme == "bearer" {
					c.Header, c.Prefix = "authorization", "Bearer "
				}
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
		if !c.TLS && c.SecretName != "" && !isLoopback(c.Host) {
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
func (b *builder) found(out *Provider, p *dragomanv1.Provider) {
	var urls, sources []string
	for _, e := range p.Endpoints {
		urls = append(urls, e.Url)
	}
	for _, c := range p.Credentials {
		switch s := c.GetSecret().GetSource().(type) {
		case *dragomanv1.Secret_Env:
			sources = append(sources, "env "+s.Env)
		case *dragomanv1.Secret_File:
			sources = append(sources, "file "+s.File)
		}
	}
	if len(sources) == 0 {
		sources = []string{"none"}
	}
	b.snap.Found = append(b.snap.Found, Found{Provider: out.Name, Schema: out.Schema, Endpoint: strings.Join(urls, ", "),
		Credential: strings.Join(sources, ", ")})
}
