package server_test

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"

	"dragoman/xds"
)

// resolved puts addresses in the place of a cluster's name, as DNS would: no name of a test's own can be resolved. All else stays as built.
func resolved(t *testing.T, built *clusterv3.Cluster, servers ...*upstream) *clusterv3.Cluster {
	t.Helper()
	c := proto.CloneOf(built)
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	group := c.LoadAssignment.Endpoints[0]
	first := group.LbEndpoints[0]
	group.LbEndpoints = nil
	for _, s := range servers {
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.ParseUint(u.Port(), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		e := proto.CloneOf(first)
		e.GetEndpoint().Address = &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: u.Hostname(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
		}}}
		group.LbEndpoints = append(group.LbEndpoints, &endpointv3.LbEndpoint{HostIdentifier: e.HostIdentifier})
	}
	return c
}

// TestLive_outlierDetection: of the servers behind a name of one's own, which are one cluster and so one state of health, Envoy leaves out
// the one that fails after five failures, and takes it back later. Until then its failures are tried again at the others: no client sees one.
func TestLive_outlierDetection(t *testing.T) {
	well, ill := newUpstream(t, answering(200)), newUpstream(t, answering(200))
	snap := compile(t, "listen: {address: \"127.0.0.1:0\"}\nproviders:\n- {name: pool, schema: openai, locality: local, endpoint: \"http://replicas.invalid:8000\"}\n")
	r := newRig(t, compile(t, "listen: {address: \"127.0.0.1:0\"}\nproviders:\n- {name: pool, schema: openai, endpoint: \"http://127.0.0.1:9\"}\n"))
	res, err := xds.Build(snap, xds.FullWeights{}, xds.Params{SystemRoots: xds.SystemRoots()})
	if err != nil {
		t.Fatal(err)
	}
	changed := *res
	changed.Clusters = append([]*clusterv3.Cluster(nil), res.Clusters...)
	name := ""
	for i, c := range changed.Clusters {
		if strings.HasPrefix(c.Name, "pool/") {
			if name = c.Name; c.OutlierDetection == nil {
				t.Fatal("the cluster of a name of one's own has no outlier detection")
			}
			changed.Clusters[i] = resolved(t, c, well, ill)
		}
	}
	changed.Version = "outlier"
	if err := r.server.Set(&changed); err != nil {
		t.Fatal(err)
	}
	if err := r.server.WaitApplied(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.envoy.WaitWarm(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.stub.request = func(map[string]string) plan { return ordered(name, name, name) }
	ask := func(n int) {
		t.Helper()
		for i := range n {
			resp, body, err := r.post("/v1/chat/completions", fmt.Sprintf(`{"n":%d}`, i))
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v %v %s", err, resp, body)
			}
		}
	}
	until := func(otherwise string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !ok(); {
			if time.Now().After(end) {
				t.Fatal(otherwise)
			}
		}
	}
	until("both servers are asked while both are well", func() bool {
		ask(4)
		return len(well.seen()) > 0 && len(ill.seen()) > 0
	})

	ill.answer(answering(503))
	before := len(ill.seen())
	until("a server that fails is asked for ever", func() bool {
		n := len(ill.seen())
		ask(12)
		return len(ill.seen()) == n
	})
	out, begin := len(ill.seen()), time.Now()
	if n := out - before; n < 5 || n > 12 {
		t.Errorf("%d failures until it was left out, want 5 and few more", n)
	}
	for time.Since(begin) < 2*time.Second { // of five at least
		ask(5)
	}
	if n := len(ill.seen()) - out; n > 0 {
		t.Errorf("a server that is left out got %d requests", n)
	}

	ill.answer(answering(200))
	until("a server that is well again is not asked", func() bool {
		ask(4)
		time.Sleep(100 * time.Millisecond)
		return len(ill.seen()) > out
	})
}
