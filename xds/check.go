package xds

import (
	"errors"
	"fmt"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	priorityv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/priority_group/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// check finds contradictions before Envoy does: fields out of their bounds, names given twice, groups whose clusters do not exist. Envoy
// takes a route to an unknown cluster without a word and fails its requests.
func (r *Resources) check() error {
	var faults []error
	for _, m := range r.messages() {
		if err := validate(m); err != nil {
			faults = append(faults, fmt.Errorf("xds: %s is invalid: %w", describe(m), withoutValues(m, err)))
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
		faults = append(faults, checkGroups(rc, clusters)...)
	}
	return errors.Join(faults...)
}

func checkGroups(rc *routev3.RouteConfiguration, clusters map[string]bool) []error {
	var faults []error
	for _, g := range groupsOf(rc) {
		for _, w := range g.GetClusters() {
			if !clusters[w.GetClusterName()] {
				faults = append(faults, fmt.Errorf("xds: group %s names the unknown cluster %s", g.GetName(), w.GetClusterName()))
			}
		}
	}
	return faults
}

// validate checks a message by the rules that its proto states, and everything that is packed into it.
func validate(m proto.Message) error {
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			return err
		}
	}
	if packed, ok := m.(*anypb.Any); ok {
		inner, err := packed.UnmarshalNew()
		if err != nil {
			return err
		}
		return validate(inner)
	}
	var first error
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		first = validateField(f, v)
		return first == nil
	})
	return first
}

func validateField(f protoreflect.FieldDescriptor, v protoreflect.Value) (err error) {
	switch {
	case f.IsMap():
		if f.MapValue().Message() == nil {
			return nil
		}
		v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
			err = validate(v.Message().Interface())
			return err == nil
		})
	case f.Message() == nil:
	case f.IsList():
		for i := 0; i < v.List().Len() && err == nil; i++ {
			err = validate(v.List().Get(i).Message().Interface())
		}
	default:
		err = validate(v.Message().Interface())
	}
	return err
}

func describe(m proto.Message) string {
	name := string(m.ProtoReflect().Descriptor().Name())
	if n, ok := m.(interface{ GetName() string }); ok {
		return name + " " + n.GetName()
	}
	return name
}

// withoutValues drops a message that may quote a value, where the value may be a key.
func withoutValues(m proto.Message, err error) error {
	if m.ProtoReflect().Descriptor().Name() == "Secret" {
		return errors.New("a field is out of its bounds")
	}
	return err
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
