package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"dragoman/internal/wiring"
)

// The small constructors that every resource is written with.

// marshal is deterministic, so that an unchanged resource keeps its version. Marshalling a message built here cannot fail.
func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("xds: " + err.Error())
	}
	return b
}

func packed(m proto.Message) *anypb.Any {
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()), Value: marshal(m)}
}

func extension(name string, m proto.Message) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: name, TypedConfig: packed(m)}
}

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }
func number(n uint32) *wrapperspb.UInt32Value       { return wrapperspb.UInt32(n) }
func flag(on bool) *wrapperspb.BoolValue            { return wrapperspb.Bool(on) }
func regex(pattern string) *matcherv3.RegexMatcher  { return &matcherv3.RegexMatcher{Regex: pattern} }
func adsSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

// dragoman is the gRPC service of this process; the cluster is static, in the bootstrap. Initial metadata comes in pairs of name and
// value.
func dragoman(metadata ...string) *corev3.GrpcService {
	g := &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
		ClusterName: wiring.Cluster,
		// x-envoy-* headers on every gRPC stream would only cost time.
		SkipEnvoyHeaders: true,
	}}}
	for i := 0; i+1 < len(metadata); i += 2 {
		g.InitialMetadata = append(g.InitialMetadata, &corev3.HeaderValue{Key: metadata[i], Value: metadata[i+1]})
	}
	return g
}
