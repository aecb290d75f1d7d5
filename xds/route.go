package xds

import (
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	priorityv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/priority_group/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
)

// retryOn and retryCodes make the next attempt answer whatever is this provider's own trouble: it cannot be reached, fails or
// is busy. That it refuses our credential or model is another provider's chance only, which the processor says per request
// (wiring.HeaderRetryCodes). A request at fault itself (400, 413, 422) would fail anywhere.
const retryOn = "5xx,connect-failure,refused-stream,reset,retriable-status-codes,retriable-headers"

var retryCodes = []uint32{408, 429}

// routes sends an ordered request by its order, and refuses every other one: without a valid order the specifier would silently
// take the configured groups.
func routes(s *config.Snapshot, all []*config.Cluster, w Weights) *routev3.RouteConfiguration {
	plugin := &routev3.RouteAction_InlineClusterSpecifierPlugin{InlineClusterSpecifierPlugin: &routev3.ClusterSpecifierPlugin{
		Extension: extension("envoy.router.cluster_specifier_plugin.priority_group", groups(s, all, w)),
	}}
	return &routev3.RouteConfiguration{
		Name: wiring.RouteConfig,
		VirtualHosts: []*routev3.VirtualHost{{
			Name:                       wiring.RouteConfig,
			Domains:                    []string{"*"},
			IncludeRequestAttemptCount: true, // the attempt filter's matcher reads it
			// A body is held until no attempt can follow. Translation may enlarge it.
			RequestBodyBufferLimit: wrapperspb.UInt64(2 * uint64(s.Limits.MaxBody)),
			Routes: []*routev3.Route{
				uploads(s, plugin),
				ordered(s, plugin),
				once(s, plugin),
				{
					Name:   "unordered",
					Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
					Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 503}},
				},
			},
		}},
	}
}

// uploads passes a body on as it comes. There is no second attempt: of what has gone to the provider nobody keeps a copy.
func uploads(s *config.Snapshot, plugin *routev3.RouteAction_InlineClusterSpecifierPlugin) *routev3.Route {
	r := ordered(s, plugin)
	r.Name, r.Match = "uploads", orderedMatch(wiring.OrderedStream)
	r.GetRoute().RetryPolicy = nil
	r.TypedPerFilterConfig = map[string]*anypb.Any{
		bufferFilter: packed(&bufferv3.BufferPerRoute{Override: &bufferv3.BufferPerRoute_Disabled{Disabled: true}}),
	}
	return r
}

// once is for requests that act at their provider: what may have been begun there is not tried again. A refusal was not begun, nor what
// never arrived.
func once(s *config.Snapshot, plugin *routev3.RouteAction_InlineClusterSpecifierPlugin) *routev3.Route {
	r := ordered(s, plugin)
	r.Name, r.Match = "once", orderedMatch(wiring.OrderedOnce)
	p := r.GetRoute().GetRetryPolicy()
	p.RetryOn, p.RetriableStatusCodes = "connect-failure,refused-stream,retriable-status-codes,retriable-headers", []uint32{429}
	p.RetriableHeaders = []*routev3.HeaderMatcher{knownCause()}
	return r
}

// knownCause is on an answer that the attempt filter has read: somebody else can do better.
func knownCause() *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: wiring.HeaderRetry, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}
}

func orderedMatch(value string) *routev3.RouteMatch {
	return &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"},
		Headers: []*routev3.HeaderMatcher{{
			Name: wiring.HeaderOrdered,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Exact{Exact: value},
			}},
		}},
	}
}

func ordered(s *config.Snapshot, plugin *routev3.RouteAction_InlineClusterSpecifierPlugin) *routev3.Route {
	return &routev3.Route{
		Name:  "ordered",
		Match: orderedMatch("1"),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier:     plugin,
			HostRewriteSpecifier: &routev3.RouteAction_AutoHostRewrite{AutoHostRewrite: flag(true)},
			Timeout:              duration(s.Retry.Timeout),
			RetryPolicy:          retryPolicy(s.Retry),
		}},
	}
}

func retryPolicy(r config.Retry) *routev3.RetryPolicy {
	return &routev3.RetryPolicy{
		RetryOn:              retryOn,
		RetriableStatusCodes: retryCodes,
		// A web page is a proxy's or a wrong address's word, whatever its status.
		RetriableHeaders: []*routev3.HeaderMatcher{{
			Name: "content-type",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "text/html"},
			}},
		}, knownCause()},
		RefreshClusterOnRetry: true,
		NumRetries:            number(uint32(r.MaxAttempts - 1)),
		// Ends at the response's headers (probed: at its first event), a long stream is not cut by it. Beside it Envoy's per-try idle timeout
		// has no effect: when the first one's time has passed, Envoy drops the other. The processor has the idle timer, and
		// ends a stalled stream with an error event instead of a reset.
		PerTryTimeout: duration(r.PerTryTimeout),
		// The next provider has done nothing to be waited for. Back-off towards the same one is the attempt filter's.
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: duration(time.Millisecond), MaxInterval: duration(2 * time.Millisecond),
		},
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name: "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{
				TypedConfig: packed(&previousv3.PreviousHostsPredicate{}),
			},
		}},
		HostSelectionRetryMaxAttempts: 3,
	}
}

// groups are what an order may name. In front stand groups that lead nowhere, one for each possible attempt: an attempt whose
// group Envoy does not know falls back to the configured group of its own number, and must not end at some provider with another
// one's body.
func groups(s *config.Snapshot, all []*config.Cluster, w Weights) *priorityv3.PriorityGroupClusterSpecifier {
	spec := &priorityv3.PriorityGroupClusterSpecifier{OverrideMetadataNamespace: wiring.MetadataOrder}
	for range s.MostRetry().MaxAttempts {
		spec.PriorityGroups = append(spec.PriorityGroups, &priorityv3.PriorityGroup{
			Name:     wiring.NoCluster,
			Clusters: []*priorityv3.ClusterWeight{{ClusterName: wiring.NoCluster, Weight: number(1)}},
		})
	}
	weighted := map[config.ProviderName]*priorityv3.PriorityGroup{}
	current := map[config.ClusterName]bool{}
	for _, c := range s.Clusters {
		current[c.Name] = true
	}
	for _, c := range all {
		p := c.Provider.Name
		if weighted[p] == nil {
			weighted[p] = &priorityv3.PriorityGroup{Name: string(p)}
			spec.PriorityGroups = append(spec.PriorityGroups, weighted[p])
		} else if !current[c.Name] {
			continue // a retired cluster serves no new request of a provider that goes on
		}
		switch percent := w.Percent(c.Name); {
		case len(c.Provider.Clusters) == 1:
			weighted[p].Clusters = append(weighted[p].Clusters, weight(c, 100)) // there is nobody to share with: no news
		case c.Weight > 0 && percent > 0:
			weighted[p].Clusters = append(weighted[p].Clusters, weight(c, percent))
		} // else a spare, or out: it has its own group, for later attempts and trials
	}
	for _, g := range weighted {
		if len(g.Clusters) == 0 {
			fillGroup(g, all)
		}
	}
	for _, c := range all {
		spec.PriorityGroups = append(spec.PriorityGroups, &priorityv3.PriorityGroup{
			Name: string(c.Name), Clusters: []*priorityv3.ClusterWeight{weight(c, 100)},
		})
	}
	return spec
}

// fillGroup is for a provider whose clusters are all out: a group must have one, and health may be wrong.
func fillGroup(g *priorityv3.PriorityGroup, all []*config.Cluster) {
	for _, c := range all {
		if string(c.Provider.Name) == g.Name {
			g.Clusters = append(g.Clusters, weight(c, 100))
		}
	}
}

// weight is the configured one less what health took, never 0.
func weight(c *config.Cluster, percent uint32) *priorityv3.ClusterWeight {
	w := uint64(c.Weight) * uint64(min(percent, 100)) / 100
	return &priorityv3.ClusterWeight{ClusterName: string(c.Name), Weight: number(uint32(max(w, 1)))}
}
