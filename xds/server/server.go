// Package server pushes xds.Resources to Envoy over ADS (delta), and knows what Envoy made of them: which version it applied
// and what it refused.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	deltav3 "github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"dragoman/internal/wiring"
	"dragoman/xds"
)

// Options of a Server. The zero value is usable.
type Options struct {
	Log *slog.Logger // one line for each change of what Envoy applied or refused; default: none
	// Report is called on each ACK and NACK, before WaitApplied returns because of it; for metrics. It must not call the Server.
	// May be nil.
	Report func(Event)
}

// Event is one answer of Envoy to a push.
type Event struct {
	Type    string // clusters, routes, listeners, secrets, filters
	Version string // of that type's resources: 12 hex digits
	Err     string // why Envoy refused it, "" when it was applied. Never holds a secret
}

// Server is the xDS server of one Dragoman. Every Envoy that connects gets the same resources, whatever its node id.
type Server struct {
	cache   cachev3.SnapshotCache
	streams *streams
	ctx     context.Context
	stop    context.CancelFunc
}

// oneNode gives every Envoy the same snapshot.
type oneNode struct{}

func (oneNode) ID(*corev3.Node) string { return wiring.NodeID }

// New makes a server without resources: an Envoy that connects waits for the first Set.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	// The cache's own logger would print resources, and so secrets: it gets none.
	return &Server{cache: cachev3.NewSnapshotCache(true, oneNode{}, nil), streams: newStreams(o), ctx: ctx, stop: stop}
}

// Register adds the aggregated discovery service to a gRPC server.
func (s *Server) Register(g *grpc.Server) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, &service{delta: deltav3.NewServer(s.ctx, s.cache, s.streams)})
}

// service has the delta protocol only, which the bootstrap asks for: the other answers Unimplemented.
type service struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	delta deltav3.Server
}

// DeltaAggregatedResources serves one Envoy.
func (s *service) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.delta.DeltaStreamHandler(stream, resource.AnyType)
}

// Close ends every stream; Envoy keeps what it has and connects again.
func (s *Server) Close() { s.stop() }

// Set makes these the resources of every Envoy, now and later. A type whose resources did not change is not sent again.
func (s *Server) Set(r *xds.Resources) error {
	snap, err := snapshot(r)
	if err != nil {
		return err
	}
	s.streams.want(snap)
	return s.cache.SetSnapshot(s.ctx, wiring.NodeID, snap)
}

// snapshot has a version for each type, so that an ACK of one type tells which resources it is about.
func snapshot(r *xds.Resources) (*cachev3.Snapshot, error) {
	snap := &cachev3.Snapshot{}
	fill(snap, types.Cluster, r.Clusters)
	fill(snap, types.Route, r.Routes)
	fill(snap, types.Listener, r.Listeners)
	fill(snap, types.Secret, r.Secrets)
	fill(snap, types.ExtensionConfig, r.Filters)
	if err := snap.Consistent(); err != nil {
		return nil, fmt.Errorf("xds: resources contradict each other: %w", err)
	}
	if err := snap.ConstructVersionMap(); err != nil {
		return nil, fmt.Errorf("xds: %w", err)
	}
	return snap, nil
}

// fill gives a type its resources. Their version does not depend on their order: when only that changed, nothing is sent, and an ACK
// of the new version would never come.
func fill[M proto.Message](snap *cachev3.Snapshot, kind types.ResponseType, list []M) {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b M) int {
		return strings.Compare(cachev3.GetResourceName(a), cachev3.GetResourceName(b))
	})
	all := make([]types.Resource, len(sorted))
	for i, m := range sorted {
		all[i] = m
	}
	snap.Resources[kind] = cachev3.NewResources(xds.Hash(sorted), all)
}

// kinds are the types that are pushed, in the order of dependence, with the names that events show.
var kinds = []struct{ url, name string }{
	{resource.SecretType, "secrets"},
	{resource.ClusterType, "clusters"},
	{resource.RouteType, "routes"},
	{resource.ListenerType, "listeners"},
	{resource.ExtensionConfigType, "filters"},
}

func kindName(url string) string {
	for _, k := range kinds {
		if k.url == url {
			return k.name
		}
	}
	return "other"
}
