package xds

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
)

const (
	// clockSkew is by how much an issuer's clock may differ from Envoy's: Envoy's own default, written out because docs name it.
	clockSkew = 60 * time.Second
	// jwksTimeout is of one try to fetch an issuer's keys, jwksRetries of those that follow a failed one at once. Beyond them Envoy tries
	// again after jwksAgain.
	jwksTimeout = 5 * time.Second
	jwksRetries = 2
	jwksAgain   = 2 * time.Second
)

// tokenFilter verifies tokens before the processor is asked, none where no issuer is configured. The filter's configuration comes by itself:
// an issuer's new keys in a file must hold for the next request on a connection, while a changed listener is one for new connections.
func tokenFilter(id *config.Identity) []*hcmv3.HttpFilter {
	if id == nil || len(id.JWT) == 0 {
		return nil
	}
	none := packed(&jwtv3.JwtAuthentication{})
	return []*hcmv3.HttpFilter{{Name: wiring.FilterJWT, ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
		ConfigSource: adsSource(),
		TypeUrls:     []string{none.GetTypeUrl()},
		// Verifies nothing, and so lets nobody in: for connections that outlive the last issuer, and would get errors without any.
		DefaultConfig: none,
	}}}}
}

// tokenFilters is the configuration of that filter.
func tokenFilters(id *config.Identity) []*corev3.TypedExtensionConfig {
	if id == nil || len(id.JWT) == 0 {
		return nil
	}
	// Whatever the token: the processor says who may come in, and answers in the client's schema. It believes only what the filter has
	// verified.
	anyOf := &jwtv3.JwtRequirementOrList{}
	providers := map[string]*jwtv3.JwtProvider{}
	for _, j := range id.JWT {
		providers[j.ID] = tokenProvider(j)
		anyOf.Requirements = append(anyOf.Requirements, &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_ProviderName{ProviderName: j.ID}})
	}
	anyOf.Requirements = append(anyOf.Requirements, &jwtv3.JwtRequirement{RequiresType: &jwtv3.JwtRequirement_AllowMissingOrFailed{AllowMissingOrFailed: &emptypb.Empty{}}})
	return []*corev3.TypedExtensionConfig{extension(wiring.FilterJWT, &jwtv3.JwtAuthentication{
		Providers: providers,
		Rules: []*jwtv3.RequirementRule{{
			Match: maybeToken(),
			RequirementType: &jwtv3.RequirementRule_Requires{Requires: &jwtv3.JwtRequirement{
				RequiresType: &jwtv3.JwtRequirement_RequiresAny{RequiresAny: anyOf},
			}},
		}},
	})}
}

// maybeToken is a request that may come with a token: one begins with an object in base64, and so with e. Other keys cost nothing.
func maybeToken() *routev3.RouteMatch {
	return &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"},
		Headers: []*routev3.HeaderMatcher{{
			Name: "authorization",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "bearer e"}, IgnoreCase: true,
			}},
		}},
	}
}

// tokenProvider has no cache of verified tokens: one would still be taken after its key was withdrawn.
func tokenProvider(j *config.JWT) *jwtv3.JwtProvider {
	p := &jwtv3.JwtProvider{
		Issuer: j.Issuer, Audiences: j.Audiences, RequireExpiration: true, ClockSkewSeconds: uint32(clockSkew / time.Second),
		// Nowhere else: Envoy's default also takes a token of the query string, which ends in logs. The scheme has no case (RFC 7235).
		FromHeaders:            []*jwtv3.JwtHeader{{Name: "authorization", ValuePrefix: "Bearer "}, {Name: "authorization", ValuePrefix: "bearer "}},
		PayloadInMetadata:      j.ID,
		FailedStatusInMetadata: wiring.JWTFailed + j.ID,
	}
	if j.Server == nil {
		p.JwksSourceSpecifier = &jwtv3.JwtProvider_LocalJwks{LocalJwks: text(string(j.JWKS))}
		return p
	}
	p.JwksSourceSpecifier = &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: &jwtv3.RemoteJwks{
		HttpUri: &corev3.HttpUri{
			Uri: j.URL, HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: string(j.Server.Name)}, Timeout: duration(jwksTimeout),
		},
		CacheDuration: duration(j.Refresh),
		// In the background, once for all workers, and the last ones hold for as long as no others come. The listener does not wait for it: an
		// issuer that is down must not keep callers with keys out.
		AsyncFetch:  &jwtv3.JwksAsyncFetch{FastListener: true, FailedRefetchDuration: duration(jwksAgain)},
		RetryPolicy: &corev3.RetryPolicy{NumRetries: number(jwksRetries)},
	}}
	return p
}

// issuers are where keys are fetched.
func issuers(s *config.Snapshot, roots string) (list []*clusterv3.Cluster, err error) {
	if s.Identity == nil {
		return nil, nil
	}
	for _, j := range s.Identity.JWT {
		c := j.Server
		if c == nil {
			continue
		}
		envoy := &clusterv3.Cluster{
			Name: string(c.Name), ConnectTimeout: duration(jwksTimeout), LoadAssignment: loadAssignment(c),
			TypedExtensionProtocolOptions: map[string]*anypb.Any{
				"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(protocolOptions(c)),
			},
		}
		discover(envoy, c)
		if c.TLS {
			if envoy.TransportSocket, err = upstreamTLS(c, roots); err != nil {
				return nil, err
			}
		}
		list = append(list, envoy)
	}
	return list, nil
}

// tokenNamespace is what the processor is told of tokens.
func tokenNamespace(id *config.Identity) *extprocv3.MetadataOptions_MetadataNamespaces {
	if id == nil || len(id.JWT) == 0 {
		return nil
	}
	return &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{wiring.FilterJWT}}
}

// identityAttributes come with a request's headers. Envoy has none of a connection without a certificate.
func identityAttributes(id *config.Identity) []string {
	if id == nil || len(id.Certificates) == 0 {
		return nil
	}
	return []string{wiring.AttributeURISAN, wiring.AttributeDNSSAN}
}

// clientCert is what becomes of a client's own x-forwarded-client-cert: removed, but where the configuration says that a proxy in front writes
// it. With certificates asked for, Envoy itself removes it from who shows none.
func clientCert(id *config.Identity, tls *config.ServerTLS) hcmv3.HttpConnectionManager_ForwardClientCertDetails {
	switch {
	case id == nil || !id.Forwarded:
		return hcmv3.HttpConnectionManager_SANITIZE
	case tls != nil && len(tls.ClientCA) > 0:
		return hcmv3.HttpConnectionManager_FORWARD_ONLY
	default:
		return hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY
	}
}
