package xds

import (
	"fmt"
	"slices"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	injectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	headermutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	codecv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	genericv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
)

// userAgent replaces the client's.
var userAgent = fmt.Sprintf(wiring.UserAgent, "%REQ("+wiring.HeaderTarget+")%")

// upstreamFilters run for each attempt in the cluster that serves it. Their order is the security of the gateway:
//
//  1. "strip" removes every credential, a client's or an earlier attempt's;
//  2. "restart" removes the own headers of any schema and the body's length before a later attempt: they are the earlier one's (on the
//     first they are the processor's);
//  3. "attempt" asks the processor for the request in this cluster's schema;
//  4. "length" restores the content-length that Envoy drops with a replaced body, because small servers know no chunked requests;
//  5. the injector adds this cluster's own credential;
//  6. "allow" drops whatever is not on the provider's list, wherever it came from;
//  7. for AWS, the signer signs what is left, so that nothing that it signed changes after it.
func upstreamFilters(c *config.Cluster, probe config.Probe) ([]*hcmv3.HttpFilter, error) {
	own, ok := schemaHeaders[c.Provider.Schema]
	if !ok {
		return nil, fmt.Errorf("cluster %s: no headers are known for the schema %q", c.Name, c.Provider.Schema)
	}
	filters := []*hcmv3.HttpFilter{
		strip(),
		unless(headerIs(wiring.HeaderAttemptCount, "1"), mutate("dragoman.restart", removeAll(append(everySchemaHeader(), "content-length"))...)),
		attemptFilter(c, probe),
		unless(headerIs(wiring.HeaderAttemptCount, "1"),
			mutate("dragoman.length", overwrite("content-length", "%REQ("+wiring.HeaderLength+")%"))),
	}
	allowed := slices.Concat(plainHeaders, own)
	if c.SecretName != "" {
		filters = append(filters, injector(c))
		allowed = append(allowed, c.Header)
	}
	filters = append(filters, mutate("dragoman.allow", overwrite("user-agent", userAgent), keepOnly(allowed)))
	if c.Signing != nil {
		filters = append(filters, signer(c))
	}
	return append(filters, httpFilter("envoy.filters.http.upstream_codec", &codecv3.UpstreamCodec{})), nil
}

// injector writes the cluster's key from SDS. Without it the request fails with 401, it never leaves without the key.
func injector(c *config.Cluster) *hcmv3.HttpFilter {
	return httpFilter("envoy.filters.http.credential_injector", &injectorv3.CredentialInjector{
		Overwrite: true,
		Credential: extension("envoy.http.injected_credentials.generic", &genericv3.Generic{
			Credential:        &tlsv3.SdsSecretConfig{Name: c.SecretName, SdsConfig: adsSource()},
			Header:            c.Header,
			HeaderValuePrefix: c.Prefix,
		}),
	})
}

func mutate(name string, m ...*mutationv3.HeaderMutation) *hcmv3.HttpFilter {
	return httpFilter(name, &headermutationv3.HeaderMutation{Mutations: &headermutationv3.Mutations{RequestMutations: m}})
}

// strip begins every cluster's filters. On the way back it removes the mark of Envoy's own replies, which no provider may forge.
func strip() *hcmv3.HttpFilter {
	return httpFilter("dragoman.strip", &headermutationv3.HeaderMutation{Mutations: &headermutationv3.Mutations{
		RequestMutations: removeAll(credentialHeaders), ResponseMutations: removeAll([]string{wiring.HeaderLocalReply}),
	}})
}

func httpFilter(name string, m proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(m)}}
}

func extensionOf(f *hcmv3.HttpFilter) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: f.GetName(), TypedConfig: f.GetTypedConfig()}
}
