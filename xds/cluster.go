package xds

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	dnscommonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	leastv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
)

const (
	// unlimited stands in circuit breakers, whose defaults (1024 requests, 3 retries for a whole cluster) would refuse
	// a failover just when many requests need one. Admission is the processor's business.
	unlimited = 1_000_000
	// poolIdle closes an unused connection before the load balancers of providers do, which would cost a request its first attempt.
	poolIdle = 50 * time.Second
	// streamWindow and connectionWindow bound what HTTP/2 lets a peer send ahead of a slow reader.
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
)

// clusters has one cluster per endpoint and credential, and the one without endpoints for orders that Envoy cannot follow.
func clusters(s *config.Snapshot, all []*config.Cluster, roots string) ([]*clusterv3.Cluster, error) {
	list := []*clusterv3.Cluster{{
		Name:                 wiring.NoCluster,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       duration(s.Retry.ConnectTimeout),
		LoadAssignment:       &endpointv3.ClusterLoadAssignment{ClusterName: wiring.NoCluster},
	}}
	for _, c := range all {
		one, err := cluster(s, c, roots)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	issuers, err := issuers(s, roots)
	return append(list, issuers...), err
}

func cluster(s *config.Snapshot, c *config.Cluster, roots string) (*clusterv3.Cluster, error) {
	filters, err := upstreamFilters(c, s.MostRetry().Probe)
	if err != nil {
		return nil, err
	}
	options := protocolOptions(c)
	options.HttpFilters = filters
	envoy := &clusterv3.Cluster{
		Name:           string(c.Name),
		ConnectTimeout: duration(s.Retry.ConnectTimeout),
		LoadAssignment: loadAssignment(c),
		LoadBalancingPolicy: &clusterv3.LoadBalancingPolicy{Policies: []*clusterv3.LoadBalancingPolicy_Policy{{
			TypedExtensionConfig: extension("envoy.load_balancing_policies.least_request", &leastv3.LeastRequest{}),
		}}},
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections: number(unlimited), MaxPendingRequests: number(unlimited),
			MaxRequests: number(unlimited), MaxRetries: number(unlimited),
		}}},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(options),
		},
		UpstreamConnectionOptions: &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{
			KeepaliveTime: number(60), KeepaliveInterval: number(15), KeepaliveProbes: number(4),
		}},
	}
	discover(envoy, c)
	if replicated(c) {
		envoy.OutlierDetection = outliers()
	}
	if c.TLS {
		envoy.TransportSocket, err = upstreamTLS(c, roots)
	}
	return envoy, err
}

// discover says where endpoints come from. A provider's public name stands for one service behind ever changing
// addresses (one endpoint, all addresses tried); a local name may stand for replicas (one endpoint per address).
func discover(envoy *clusterv3.Cluster, c *config.Cluster) {
	if _, err := netip.ParseAddr(c.Host); err == nil {
		envoy.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		return
	}
	envoy.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.cluster.dns",
		TypedConfig: packed(&dnsv3.DnsCluster{
			RespectDnsTtl:     true,
			DnsMinRefreshRate: duration(5 * time.Second),
			DnsFailureRefreshRate: &dnsv3.DnsCluster_RefreshRate{
				BaseInterval: duration(time.Second), MaxInterval: duration(10 * time.Second),
			},
			DnsLookupFamily:              dnscommonv3.DnsLookupFamily_ALL,
			AllAddressesInSingleEndpoint: !replicated(c),
		}),
	}}
}

// replicated says that a name stands for several servers of the user's own, each an endpoint.
func replicated(c *config.Cluster) bool {
	_, err := netip.ParseAddr(c.Host)
	return err != nil && c.Provider.Local && c.Host != "localhost"
}

// outliers has Envoy itself leave out a replica that fails, which it sees at once and health, which sees clusters, never. The other half
// stays in: when most fail, which one is asked does not matter.
func outliers() *clusterv3.OutlierDetection {
	return &clusterv3.OutlierDetection{
		Consecutive_5Xx:                number(5),
		ConsecutiveLocalOriginFailure:  number(3),
		SplitExternalLocalOriginErrors: true,
		Interval:                       duration(2 * time.Second),
		BaseEjectionTime:               duration(5 * time.Second),
		MaxEjectionTime:                duration(time.Minute),
		MaxEjectionTimeJitter:          duration(2 * time.Second),
		MaxEjectionPercent:             number(50),
		EnforcingSuccessRate:           number(0), // it wants more hosts and requests than there are
	}
}

func loadAssignment(c *config.Cluster) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: string(c.Name),
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
				Address:  socket(c.Host, c.Port),
				Hostname: authority(c), // what auto_host_rewrite writes on each attempt
			}},
		}}}},
	}
}

// authority is the Host header of a cluster's requests; a port that the scheme implies is left out, as clients do.
func authority(c *config.Cluster) string {
	implied := uint32(80)
	if c.TLS {
		implied = 443
	}
	if c.Port != implied {
		return net.JoinHostPort(c.Host, strconv.FormatUint(uint64(c.Port), 10))
	}
	if ip, err := netip.ParseAddr(c.Host); err == nil && ip.Is6() {
		return "[" + c.Host + "]"
	}
	return c.Host
}

func socket(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// protocolOptions says which HTTP the provider gets: over TLS what ALPN agrees on, in clear HTTP/1.1, unless told otherwise.
func protocolOptions(c *config.Cluster) *upstreamsv3.HttpProtocolOptions {
	type explicit = upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig
	o := &upstreamsv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: duration(poolIdle)},
	}
	switch {
	case c.Provider.HTTP == "http2":
		o.UpstreamProtocolOptions = &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &explicit{
			ProtocolConfig: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: upstreamHTTP2()},
		}}
	case c.Provider.HTTP == "http1" || !c.TLS:
		o.UpstreamProtocolOptions = &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &explicit{
			ProtocolConfig: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
		}}
	default:
		o.UpstreamProtocolOptions = &upstreamsv3.HttpProtocolOptions_AutoConfig{AutoConfig: &upstreamsv3.HttpProtocolOptions_AutoHttpConfig{
			Http2ProtocolOptions: upstreamHTTP2(),
		}}
	}
	return o
}

// upstreamHTTP2 pings a connection, so that a dead one is noticed before requests are lost on it.
func upstreamHTTP2() *corev3.Http2ProtocolOptions {
	return &corev3.Http2ProtocolOptions{
		InitialStreamWindowSize:     number(streamWindow),
		InitialConnectionWindowSize: number(connectionWindow),
		ConnectionKeepalive:         &corev3.KeepaliveSettings{Interval: duration(30 * time.Second), Timeout: duration(10 * time.Second)},
	}
}
