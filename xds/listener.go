package xds

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
)

// Bounds of a client's connection.
const (
	connectionBuffer = 1 << 20 // bytes read ahead of a slow reader; bodies for retries have a limit of their own
	maxStreams       = 1000    // at a time on one HTTP/2 connection
	headersTimeout   = 10 * time.Second
	clientIdle       = 10 * time.Minute // an unused connection; SDKs keep theirs for minutes
)

// bufferFilter holds a request's body until it is whole.
const bufferFilter = "envoy.filters.http.buffer"

// listener is where clients connect.
func listener(s *config.Snapshot) (*listenerv3.Listener, error) {
	address, err := listenAddress(s.Config.GetListen().GetAddress())
	if err != nil {
		return nil, err
	}
	chain := &listenerv3.FilterChain{Filters: []*listenerv3.Filter{{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(connectionManager(s, s.Identity))},
	}}}
	if s.TLS != nil {
		chain.TransportSocket = downstreamTLS(s.TLS)
		chain.TransportSocketConnectTimeout = duration(headersTimeout)
	}
	return &listenerv3.Listener{
		Name:                          wiring.Listener,
		Address:                       address,
		FilterChains:                  []*listenerv3.FilterChain{chain},
		PerConnectionBufferLimitBytes: number(connectionBuffer),
	}, nil
}

// loopbackListener is where the gateway's own requests come in: as a client's, but in clear, and from this machine alone.
func loopbackListener(s *config.Snapshot) (*listenerv3.Listener, error) {
	l := &listenerv3.Listener{
		Name: wiring.Loopback, PerConnectionBufferLimitBytes: number(connectionBuffer),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(connectionManager(s, nil))},
		}}}},
	}
	if path, ok := strings.CutPrefix(s.Loopback, "unix://"); ok {
		l.Address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path, Mode: 0o600}}}
		return l, nil
	}
	var err error
	l.Address, err = listenAddress(s.Loopback)
	return l, err
}

// clientHeaders are let in: the usual ones, and those that the configuration's rules read.
func clientHeaders(s *config.Snapshot, id *config.Identity) []string {
	all := append(wiring.ClientHeaders[:len(wiring.ClientHeaders):len(wiring.ClientHeaders)], s.Headers...)
	if id != nil && id.Forwarded {
		all = append(all, wiring.HeaderClientCert)
	}
	return all
}

// listenAddress reads host:port; the host may be empty (every address) or localhost.
func listenAddress(s string) (*corev3.Address, error) {
	switch {
	case strings.HasPrefix(s, ":"):
		s = "0.0.0.0" + s
	case strings.HasPrefix(s, "localhost:"):
		s = "127.0.0.1" + strings.TrimPrefix(s, "localhost")
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, fmt.Errorf("listen.address: %q is not an IP address with a port", s)
	}
	a := socket(ap.Addr().String(), uint32(ap.Port()))
	a.GetSocketAddress().Ipv4Compat = ap.Addr() == netip.IPv6Unspecified()
	return a, nil
}

// connectionManager serves clients, who may be known by id, or the gateway itself.
func connectionManager(s *config.Snapshot, id *config.Identity) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix: wiring.StatPrefix,
		CodecType:  hcmv3.HttpConnectionManager_AUTO,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			RouteConfigName: wiring.RouteConfig, ConfigSource: adsSource(),
		}},
		HttpFilters: append(tokenFilter(id),
			requestFilter(id),
			// The router must have the whole request before the first attempt: Envoy 1.40 crashes when an answer ends while the
			// request's body, replaced for a later attempt, still comes from the request filter. Uploads have no later attempt, and
			// a route without it.
			httpFilter(bufferFilter, &bufferv3.Buffer{MaxRequestBytes: number(2*uint32(s.Limits.MaxBody) + 1<<20)}),
			httpFilter("envoy.filters.http.router", &routerv3.Router{
				SuppressEnvoyHeaders: true,
				DynamicStats:         flag(false), // Dragoman's own metrics say more and cost less
				UpstreamLog:          []*accesslogv3.AccessLog{attemptLog()},
			}),
		),
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{extension("envoy.http.early_header_mutation.header_mutation",
			&earlyv3.HeaderMutation{Mutations: []*mutationv3.HeaderMutation{keepOnly(clientHeaders(s, id))}})},
		ForwardClientCertDetails: clientCert(id, s.TLS),
		// Envoy adds the peer's own address as the only entry of x-forwarded-for, a client cannot claim another.
		UseRemoteAddress: flag(true),
		ServerName:       "dragoman",
		NormalizePath:    flag(true),
		// An HTTP/2 provider is told its own scheme, not the listener's.
		SchemeHeaderTransformation: &corev3.SchemeHeaderTransformation{MatchUpstream: true},
		CommonHttpProtocolOptions:  &corev3.HttpProtocolOptions{IdleTimeout: duration(clientIdle)},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams:        number(maxStreams),
			InitialStreamWindowSize:     number(streamWindow),
			InitialConnectionWindowSize: number(connectionWindow),
		},
		RequestHeadersTimeout: duration(headersTimeout),
		// Backs up the processor's own upload timers: it ends when the request's last byte has gone through the filters. An upload that
		// is passed on as it comes has as long as a whole request.
		RequestTimeout: duration(max(s.Limits.UploadTimeout, s.Retry.Timeout) + grace),
		// A stream may be silent as long as the whole request may take; what moves it on are the attempts' own timeouts.
		StreamIdleTimeout: duration(s.Retry.Timeout + grace),
		// A client that stops reading a finished answer is given this long.
		StreamFlushTimeout: duration(s.Retry.IdleTimeout),
		LocalReplyConfig:   localReplies(),
		AccessLog:          accessLogs(s.Config.GetEnvoy().GetAccessLog().GetPath()),
	}
}
