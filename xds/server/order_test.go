package server

import (
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
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
