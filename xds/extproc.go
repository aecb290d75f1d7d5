package xds

import (
	"time"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	matchingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	skipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
)

// messageTimeout is how long Envoy waits for the processor's answer to a message of the attempt filter: the most it allows. A held
// stream waits for its provider, whose own per-try timeout comes first.
const messageTimeout = time.Hour

// requestFilter is the downstream ext_proc: one stream for each request. Both bodies flow as they come; the processor keeps
// its own sizes and timers, because Envoy has none in this mode.
func requestFilter(id *config.Identity) *hcmv3.HttpFilter {
	return httpFilter(wiring.AttributesKey, &extprocv3.ExternalProcessor{
		GrpcService: dragoman(wiring.MetaFilter, wiring.FilterRequest),
		StatPrefix:  wiring.FilterRequest,
		ProcessingMode: &extprocv3.ProcessingMode{
			RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
			RequestBodyMode:     extprocv3.ProcessingMode_FULL_DUPLEX_STREAMED,
			RequestTrailerMode:  extprocv3.ProcessingMode_SEND, // the full-duplex mode demands both trailers
			ResponseHeaderMode:  extprocv3.ProcessingMode_SEND,
			ResponseBodyMode:    extprocv3.ProcessingMode_FULL_DUPLEX_STREAMED,
			ResponseTrailerMode: extprocv3.ProcessingMode_SEND,
		},
		RequestAttributes:  identityAttributes(id),
		ResponseAttributes: []string{wiring.AttributeCluster, wiring.AttributeAttempts},
		MetadataOptions: &extprocv3.MetadataOptions{
			ForwardingNamespaces: tokenNamespace(id),
			ReceivingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{
				Untyped: append([]string{wiring.MetadataOrder, wiring.MetadataExchange}, tokenNamespace(id).GetUntyped()...),
				Typed:   []string{wiring.MetadataOrder},
			},
		},
		MutationRules:            &mutationv3.HeaderMutationRules{AllowAllRouting: flag(true), AllowEnvoy: flag(true)},
		AllowContentLengthHeader: true,
		StatusOnError:            &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		EmitClientSpan:           flag(false),
	})
}

// attemptFilter is the upstream ext_proc of a cluster: it turns a later attempt into this cluster's schema, and holds a probed answer
// until its first event. On a first attempt that is not probed it opens no stream.
func attemptFilter(c *config.Cluster, probe config.Probe) *hcmv3.HttpFilter {
	mode := &extprocv3.ProcessingMode{
		RequestHeaderMode:   extprocv3.ProcessingMode_SEND,
		RequestBodyMode:     extprocv3.ProcessingMode_NONE, // the processor still has the client's own body
		ResponseHeaderMode:  extprocv3.ProcessingMode_SKIP,
		ResponseBodyMode:    extprocv3.ProcessingMode_NONE,
		RequestTrailerMode:  extprocv3.ProcessingMode_SKIP,
		ResponseTrailerMode: extprocv3.ProcessingMode_SKIP,
	}
	if probe != config.ProbeNone {
		mode.ResponseHeaderMode = extprocv3.ProcessingMode_SEND
		mode.ResponseBodyMode = extprocv3.ProcessingMode_STREAMED
	}
	filter := &extprocv3.ExternalProcessor{
		GrpcService:    dragoman(wiring.MetaFilter, wiring.FilterAttempt, wiring.MetaCluster, string(c.Name)),
		StatPrefix:     wiring.FilterAttempt,
		ProcessingMode: mode,
		// Only so can the answer to the headers wait for the first event of the body.
		SendBodyWithoutWaitingForHeaderResponse: true,
		MessageTimeout:                          duration(messageTimeout),
		MetadataOptions: &extprocv3.MetadataOptions{
			ForwardingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{wiring.MetadataExchange}},
			ReceivingNamespaces:  &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{wiring.MetadataOrder}, Typed: []string{wiring.MetadataOrder}},
		},
		MutationRules:            &mutationv3.HeaderMutationRules{AllowAllRouting: flag(true), AllowEnvoy: flag(true)},
		AllowContentLengthHeader: true,
		StatusOnError:            &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		EmitClientSpan:           flag(false),
	}
	first := headerIs(wiring.HeaderAttemptCount, "1")
	unprobed := &xdsmatcherv3.Matcher_MatcherList_Predicate{
		MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_NotMatcher{NotMatcher: headerIs(wiring.HeaderProbe, "1")},
	}
	return unless(allOf(first, unprobed), httpFilter("dragoman.attempt", filter))
}

// unless skips a filter for the requests that a predicate matches.
func unless(p *xdsmatcherv3.Matcher_MatcherList_Predicate, f *hcmv3.HttpFilter) *hcmv3.HttpFilter {
	matcher := &xdsmatcherv3.Matcher{MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{
		Matchers: []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher{{
			Predicate: p,
			OnMatch: &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
				Action: xdsExtension("skip", &skipv3.SkipFilter{}),
			}},
		}},
	}}}
	inner := &matchingv3.ExtensionWithMatcher{XdsMatcher: matcher}
	inner.ExtensionConfig = extensionOf(f)
	return httpFilter(f.GetName(), inner)
}

func headerIs(name, value string) *xdsmatcherv3.Matcher_MatcherList_Predicate {
	return &xdsmatcherv3.Matcher_MatcherList_Predicate{
		MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
			SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
				Input: xdsExtension(name, &matcherv3.HttpRequestHeaderMatchInput{HeaderName: name}),
				Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{
					ValueMatch: &xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_Exact{Exact: value}},
				},
			},
		},
	}
}

func allOf(p ...*xdsmatcherv3.Matcher_MatcherList_Predicate) *xdsmatcherv3.Matcher_MatcherList_Predicate {
	return &xdsmatcherv3.Matcher_MatcherList_Predicate{MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_AndMatcher{
		AndMatcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_PredicateList{Predicate: p},
	}}
}

func xdsExtension(name string, m proto.Message) *xdscorev3.TypedExtensionConfig {
	return &xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: packed(m)}
}
