package xds

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	priorityv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/priority_group/v3"
)

// check finds contradictions before Envoy does: fields out of their bounds, names given twice, groups whose clusters do not exist. Envoy
// takes a route to an unknown cluster without a word and fails its requests.
func (r *Resources) check() error {
	var faults []error
	for _, m := range r.messages() {
		if v, ok := m.(interface{ ValidateAll() error }); ok {
			if err := v.ValidateAll(); err != nil {
				// The message may quote a value, and this one may be a key.
				faults = append(faults, fmt.Errorf("xds: %s is invalid: %s", describe(m), withoutValues(m, err)))
			}
		}
	}
	clusters := map[string]bool{}
	for _, c := range r.Clusters {
		if clusters[c.GetName()] {
			faults = append(faults, fmt.Errorf("xds: two clusters are called %s", c.GetName()))
		}
		clusters[c.GetName()] = true
	}
	for _, rc := range r.Routes {
		for _, g := range groupsOf(rc) {
			for _, w := range g.GetClusters() {
				if !clusters[w.GetClusterName()] {
					faults = append(faults, fmt.Errorf("xds: group %s names the unknown cluster %s", g.GetName(), w.GetClusterName()))
				}
			}
		}
	}
	return errors.Join(faults...)
}

func describe(m proto.Message) string {
	name := string(m.ProtoReflect().Descriptor().Name())
	if n, ok := m.(interface{ GetName() string }); ok {
		return name + " " + n.GetName()
	}
	return name
}

func withoutValues(m proto.Message, err error) string {
	if m.ProtoReflect().Descriptor().Name() == "Secret" {
		return "a field is out of its bounds"
	}
	return err.Error()
}

func groupsOf(rc *routev3.RouteConfiguration) []*priorityv3.PriorityGroup {
	var all []*priorityv3.PriorityGroup
	for _, vh := range rc.GetVirtualHosts() {
		for _, route := range vh.GetRoutes() {
			plugin := route.GetRoute().GetInlineClusterSpecifierPlugin()
			spec := &priorityv3.PriorityGroupClusterSpecifier{}
			if plugin == nil || plugin.GetExtension().GetTypedConfig().UnmarshalTo(spec) != nil {
				continue
			}
			all = append(all, spec.GetPriorityGroups()...)
		}
	}
	return all
}
