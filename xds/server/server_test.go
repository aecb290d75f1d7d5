package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"go.uber.org/goleak"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"dragoman/internal/config"
	"dragoman/xds"
	"dragoman/xds/server"
)

// control is a server with a client that speaks the delta protocol as Envoy does, without an Envoy.
type control struct {
	t      *testing.T
	server *server.Server
	events *events
	log    *lockedBuffer
	conn   *grpc.ClientConn
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newControl(t *testing.T) *control {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	c := &control{t: t, events: &events{}, log: &lockedBuffer{}}
	c.server = server.New(server.Options{
		Log: slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Report: c.events.add,
	})
	l, g := bufconn.Listen(1<<20), grpc.NewServer()
	c.server.Register(g)
	go g.Serve(l)
	conn, err := grpc.NewClient("passthrough:///buf", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	c.conn = conn
	t.Cleanup(func() {
		conn.Close()
		c.server.Close()
		g.Stop()
		goleak.VerifyNone(t, leaks)
	})
	return c
}

type envoy struct {
	t      *testing.T
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	cancel context.CancelFunc
}

func (c *control) connect() *envoy {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	c.t.Cleanup(cancel)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return &envoy{t: c.t, stream: stream, cancel: cancel}
}

// ask subscribes to names, or to all when none is given; has are the versions it holds from before.
func (e *envoy) ask(url string, has map[string]string, names ...string) {
	e.t.Helper()
	e.send(&discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: "some-envoy"}, TypeUrl: url, ResourceNamesSubscribe: names, InitialResourceVersions: has,
	})
}

func (e *envoy) ack(r *discoveryv3.DeltaDiscoveryResponse) {
	e.t.Helper()
	e.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
}

func (e *envoy) refuse(r *discoveryv3.DeltaDiscoveryResponse, why string) {
	e.t.Helper()
	e.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), ErrorDetail: &statuspb.Status{Code: 13, Message: why},
	})
}

func (e *envoy) send(r *discoveryv3.DeltaDiscoveryRequest) {
	e.t.Helper()
	if err := e.stream.Send(r); err != nil {
		e.t.Fatal(err)
	}
}

func (e *envoy) receive() *discoveryv3.DeltaDiscoveryResponse {
	e.t.Helper()
	r, err := e.stream.Recv()
	if err != nil {
		e.t.Fatal(err)
	}
	return r
}

// applyAll asks for everything and acknowledges it; it returns the versions that it then holds, by type and name.
func (e *envoy) applyAll() map[string]map[string]string {
	e.t.Helper()
	held := map[string]map[string]string{}
	for url, names := range map[string][]string{
		resource.ClusterType: nil, resource.ListenerType: nil, resource.RouteType: {"dragoman"}, resource.SecretType: {"credential/alpha/default"},
	} {
		e.ask(url, nil, names...)
		r := e.receive()
		held[r.GetTypeUrl()] = map[string]string{}
		for _, one := range r.GetResources() {
			held[r.GetTypeUrl()][one.GetName()] = one.GetVersion()
		}
		e.ack(r)
	}
	return held
}

const alpha = `providers: [{name: alpha, schema: openai, endpoints: [{name: x, url: "http://127.0.0.1:1"}, {name: y, url: "http://127.0.0.1:2"}], credentials: [{secret: {env: KEY_ALPHA}}]}]`

func resources(t *testing.T, s *config.Snapshot, w xds.Weights) *xds.Resources {
	t.Helper()
	r, err := xds.Build(s, w, xds.Params{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type half struct{}

func (half) Percent(config.ClusterName) uint32 { return 50 }

// wait bounds what should come at once.
func wait(t *testing.T, s *server.Server) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return s.WaitApplied(ctx)
}

func TestServer_appliedOnlyWhenEveryTypeIs(t *testing.T) {
	c := newControl(t)
	if err := c.server.Set(resources(t, compile(t, alpha), xds.FullWeights{})); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := c.server.WaitApplied(short); err == nil || !strings.Contains(err.Error(), "an Envoy to connect") {
		t.Errorf("without an Envoy: %v", err)
	}
	e := c.connect()
	e.ask(resource.ClusterType, nil)
	e.ack(e.receive())
	short, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := c.server.WaitApplied(short); err == nil || !strings.Contains(err.Error(), "waiting for secrets") {
		t.Errorf("after clusters alone: %v", err)
	}
	for _, sub := range []struct {
		url   string
		names []string
	}{{resource.SecretType, []string{"credential/alpha/default"}}, {resource.ListenerType, nil}, {resource.RouteType, []string{"dragoman"}}} {
		e.ask(sub.url, nil, sub.names...)
		e.ack(e.receive())
	}
	if err := wait(t, c.server); err != nil {
		t.Error(err)
	}
	for _, ts := range c.server.Status().Types {
		if ts.Applied != ts.Wanted || ts.Refused != "" {
			t.Errorf("%+v", ts)
		}
	}
}

func TestServer_weightsPushRoutesAlone(t *testing.T) {
	c := newControl(t)
	s := compile(t, alpha)
	if err := c.server.Set(resources(t, s, xds.FullWeights{})); err != nil {
		t.Fatal(err)
	}
	e := c.connect()
	e.applyAll()
	if err := wait(t, c.server); err != nil {
		t.Fatal(err)
	}
	if err := c.server.Set(resources(t, s, half{})); err != nil {
		t.Fatal(err)
	}
	r := e.receive()
	if r.GetTypeUrl() != resource.RouteType || len(r.GetResources()) != 1 {
		t.Fatalf("a change of weights pushed %s", r.GetTypeUrl())
	}
	e.ack(r)
	if err := wait(t, c.server); err != nil {
		t.Error(err)
	}
	var versions []string
	c.events.mu.Lock()
	defer c.events.mu.Unlock()
	for _, ev := range c.events.all {
		if ev.Type == "routes" {
			versions = append(versions, ev.Version)
		}
	}
	if len(versions) != 2 || versions[0] == versions[1] {
		t.Errorf("versions of routes reported: %v, want two different ones", versions)
	}
}

func TestServer_refusalIsSeenAndHeals(t *testing.T) {
	c := newControl(t)
	s := compile(t, alpha)
	if err := c.server.Set(resources(t, s, xds.FullWeights{})); err != nil {
		t.Fatal(err)
	}
	e := c.connect()
	e.applyAll()
	if err := wait(t, c.server); err != nil {
		t.Fatal(err)
	}
	if err := c.server.Set(resources(t, s, half{})); err != nil {
		t.Fatal(err)
	}
	e.refuse(e.receive(), "Error adding route: "+strings.Repeat("x", 5000)+" the cause")
	err := wait(t, c.server)
	if err == nil || !strings.Contains(err.Error(), "envoy refused routes") || !strings.HasSuffix(err.Error(), "the cause") {
		t.Fatalf("WaitApplied: %v", err)
	}
	if len(err.Error()) > 1000 {
		t.Errorf("an unbounded reason: %d bytes", len(err.Error()))
	}
	if n := strings.Count(c.log.String(), "Envoy refused"); n != 1 {
		t.Errorf("the refusal was logged %d times:\n%s", n, c.log)
	}
	if err := c.server.Set(resources(t, s, xds.FullWeights{})); err != nil {
		t.Fatal(err)
	}
	e.ack(e.receive())
	if err := wait(t, c.server); err != nil {
		t.Errorf("after a good push: %v", err)
	}
}

// Envoy's message about a resource may quote it.
func TestServer_neverRepeatsASecret(t *testing.T) {
	c := newControl(t)
	if err := c.server.Set(resources(t, compile(t, alpha), xds.FullWeights{})); err != nil {
		t.Fatal(err)
	}
	e := c.connect()
	e.ask(resource.SecretType, nil, "credential/alpha/default")
	r := e.receive()
	if !bytes.Contains(r.GetResources()[0].GetResource().GetValue(), []byte("sk-canary-alpha")) {
		t.Fatal("the secret is not what was pushed; the test shows nothing")
	}
	e.refuse(r, "bad secret: sk-canary-alpha")
	err := wait(t, c.server)
	if err == nil {
		t.Fatal("a refused secret was taken as applied")
	}
	c.events.mu.Lock()
	defer c.events.mu.Unlock()
	for what, text := range map[string]string{
		"error": err.Error(), "log": c.log.String(), "events": fmt.Sprint(c.events.all), "status": fmt.Sprint(c.server.Status()),
	} {
		if strings.Contains(text, "canary") {
			t.Errorf("%s holds the secret: %s", what, text)
		}
	}
}

// After a restart of Dragoman Envoy connects with all it has; nothing needs to be sent, and so nothing is acknowledged.
func TestServer_knowsAnEnvoyThatHasEverything(t *testing.T) {
	res := resources(t, compile(t, alpha), xds.FullWeights{})
	before := newControl(t)
	if err := before.server.Set(res); err != nil {
		t.Fatal(err)
	}
	held := before.connect().applyAll()

	after := newControl(t)
	if err := after.server.Set(res); err != nil {
		t.Fatal(err)
	}
	e := after.connect()
	e.ask(resource.ClusterType, held[resource.ClusterType])
	e.ask(resource.ListenerType, held[resource.ListenerType])
	e.ask(resource.RouteType, held[resource.RouteType], "dragoman")
	e.ask(resource.SecretType, held[resource.SecretType], "credential/alpha/default")
	if err := wait(t, after.server); err != nil {
		t.Error(err)
	}
}

func TestServer_waitsForEveryEnvoy(t *testing.T) {
	c := newControl(t)
	if err := c.server.Set(resources(t, compile(t, alpha), xds.FullWeights{})); err != nil {
		t.Fatal(err)
	}
	first, second := c.connect(), c.connect()
	first.applyAll()
	second.ask(resource.ClusterType, nil)
	second.receive() // and says nothing
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := c.server.WaitApplied(short); err == nil {
		t.Error("one Envoy of two has applied it, and that was taken for all")
	}
	second.cancel()
	if err := wait(t, c.server); err != nil {
		t.Errorf("after the silent Envoy left: %v", err)
	}
	if n := c.server.Status().Envoys; n != 1 {
		t.Errorf("%d Envoys connected, want 1", n)
	}
}

func TestServer_staleAnswersDoNotCount(t *testing.T) {
	c := newControl(t)
	s := compile(t, alpha)
	if err := c.server.Set(resources(t, s, xds.FullWeights{})); err != nil {
		t.Fatal(err)
	}
	e := c.connect()
	e.ask(resource.RouteType, nil, "dragoman")
	old := e.receive()
	e.ack(old)
	if err := c.server.Set(resources(t, s, half{})); err != nil {
		t.Fatal(err)
	}
	e.receive()
	e.refuse(old, "about what is no longer current")
	e.ask(resource.ClusterType, nil)
	e.receive() // the requests of one stream are handled in order: the refusal has been seen
	for _, ts := range c.server.Status().Types {
		if ts.Refused != "" {
			t.Errorf("%+v", ts)
		}
	}
}

func TestServer_refusesTheOtherProtocol(t *testing.T) {
	c := newControl(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.conn).StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("state-of-the-world xDS: %v", err)
	}
}

func TestServer_closeEndsWaiting(t *testing.T) {
	c := newControl(t)
	done := make(chan error, 1)
	go func() { done <- c.server.WaitApplied(context.Background()) }()
	c.server.Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("nothing was applied")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("WaitApplied outlives the server")
	}
}

func TestStatus_listsEveryTypeOnce(t *testing.T) {
	c := newControl(t)
	var names []string
	for _, ts := range c.server.Status().Types {
		names = append(names, ts.Type)
	}
	if want := []string{"secrets", "clusters", "routes", "listeners", "filters"}; !slices.Equal(names, want) {
		t.Errorf("types %v, want %v", names, want)
	}
}
