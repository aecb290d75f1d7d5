package server

import (
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"dragoman/xds"
)

// TestVersionIgnoresOrder: a configuration that lists its providers in another order sends nothing to Envoy, so that nothing may
// wait for an ACK.
func TestVersionIgnoresOrder(t *testing.T) {
	version := func(names ...string) string {
		r := &xds.Resources{}
		for _, name := range names {
			r.Clusters = append(r.Clusters, &clusterv3.Cluster{Name: name})
		}
		before := slices.Clone(r.Clusters)
		snap, err := snapshot(r)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(before, r.Clusters) {
			t.Error("the resources were reordered")
		}
		return snap.GetVersion(resource.ClusterType)
	}
	if version("a", "b", "c") != version("c", "a", "b") {
		t.Error("another order has another version")
	}
	if version("a", "b") == version("a", "c") {
		t.Error("other resources have the same version")
	}
}

// TestWaitAppliedWaitsOnlyForWhatEnvoyAskedFor: a secret that no cluster names any more may change or go, and nothing is
// sent, so that nothing may wait for an ACK; one that Envoy asked for is waited for.
func TestWaitAppliedWaitsOnlyForWhatEnvoyAskedFor(t *testing.T) {
	st := &state{}
	st.ask(&discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{"credential/a", "credential/b"}})
	if st.holds(map[string]string{"credential/a": "1"}) {
		t.Error("holds what was never sent")
	}
	st.learn(map[string]string{"credential/a": "1", "credential/b": "1"})
	if !st.holds(map[string]string{"credential/a": "1", "credential/b": "1", "credential/unasked": "9"}) {
		t.Error("waits for a secret that nobody asked for")
	}
	st.ask(&discoveryv3.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: []string{"credential/b"}})
	if !st.holds(map[string]string{"credential/a": "1", "credential/b": "2"}) {
		t.Error("waits for a secret that Envoy no longer wants")
	}
	if st.holds(map[string]string{"credential/a": "2"}) {
		t.Error("does not wait for a secret that Envoy wants")
	}
	st.learn(map[string]string{"credential/a": ""})
	if st.holds(map[string]string{"credential/a": "1"}) {
		t.Error("holds what was removed")
	}
}
