package xds_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
	dragomanv1 "dragoman/proto/dragoman/v1"
	"dragoman/xds"
)

const twoProviders = `
listen: {tls: {certificate: server.pem, private_key: server.key}}
providers:
- name: alpha
  schema: openai
  endpoint: https://alpha.example
  credentials: [{name: a, secret: {env: KEY_ALPHA_A}}, {name: b, secret: {env: KEY_ALPHA_B}}]
- name: claude
  schema: anthropic
  endpoint: https://api.anthropic.com
  credentials: [{secret: {env: KEY_CLAUDE}}]
`

func mustBuild(t testing.TB, s *config.Snapshot, w xds.Weights, previous ...*config.Snapshot) *xds.Resources {
	t.Helper()
	r, err := xds.Build(s, w, xds.Params{SystemRoots: "/roots.pem", Previous: previous})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBuild_sameInputSameBytes(t *testing.T) {
	dir := certificateDir(t)
	first := mustBuild(t, compile(t, []byte(twoProviders), dir), xds.FullWeights{})
	for range 20 {
		again := mustBuild(t, compile(t, []byte(twoProviders), dir), xds.FullWeights{})
		if again.Version != first.Version {
			t.Fatal("the same configuration gave other resources")
		}
	}
}

func TestBuild_weightsChangeOnlyRoutes(t *testing.T) {
	s := compile(t, []byte(twoProviders), certificateDir(t))
	full, low := mustBuild(t, s, xds.FullWeights{}), mustBuild(t, s, percents{"alpha/a": 10})
	if xds.Hash(full.Routes) == xds.Hash(low.Routes) {
		t.Error("the routes did not change")
	}
	if xds.Hash(full.Clusters) != xds.Hash(low.Clusters) || xds.Hash(full.Listeners) != xds.Hash(low.Listeners) || xds.Hash(full.Secrets) != xds.Hash(low.Secrets) {
		t.Error("more than the routes changed: clusters would drop their connections")
	}
	if full.Version == low.Version {
		t.Error("the version did not change")
	}
}

func TestBuild_rotatedSecretChangesOnlySecrets(t *testing.T) {
	dir := certificateDir(t)
	before := mustBuild(t, compile(t, []byte(twoProviders), dir), xds.FullWeights{})
	s := compile(t, []byte(twoProviders), dir)
	s.Clusters[0].Secret = config.NewSecret("rotated", "test")
	after := mustBuild(t, s, xds.FullWeights{})
	if xds.Hash(before.Clusters) != xds.Hash(after.Clusters) || xds.Hash(before.Listeners) != xds.Hash(after.Listeners) || xds.Hash(before.Routes) != xds.Hash(after.Routes) {
		t.Error("a rotated key changed more than its secret")
	}
	if xds.Hash(before.Secrets) == xds.Hash(after.Secrets) {
		t.Error("the secret did not change")
	}
}

// A key may stand in a secret and nowhere else.
func TestBuild_keysStandInSecretsOnly(t *testing.T) {
	r := mustBuild(t, compile(t, []byte(twoProviders), certificateDir(t)), xds.FullWeights{})
	for _, list := range [][]proto.Message{messages(r.Listeners), messages(r.Routes), messages(r.Clusters)} {
		for _, m := range list {
			b, _ := proto.Marshal(m)
			if strings.Contains(string(b), "canary") || strings.Contains(string(b), "PRIVATE KEY") {
				t.Errorf("%T holds a secret", m)
			}
		}
	}
	if len(r.Secrets) != 4 {
		t.Errorf("%d secrets, want one for each of 3 credentials and 1 certificate", len(r.Secrets))
	}
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%v", r), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", r), r.String()} {
		if strings.Contains(text, "canary") || strings.Contains(text, "PRIVATE") {
			t.Errorf("resources print their secrets: %s", text)
		}
	}
}

func messages[M proto.Message](list []M) []proto.Message {
	var all []proto.Message
	for _, m := range list {
		all = append(all, m)
	}
	return all
}

func TestBuild_filtersOfACluster(t *testing.T) {
	s := compile(t, []byte(twoProviders+"- {name: free, schema: openai, endpoint: \"http://127.0.0.1:1\"}\n"), certificateDir(t))
	r := mustBuild(t, s, xds.FullWeights{})
	keyed := []string{"dragoman.strip", "dragoman.restart", "dragoman.attempt", "dragoman.length",
		"envoy.filters.http.credential_injector", "dragoman.allow", "envoy.filters.http.upstream_codec"}
	keyless := slices.DeleteFunc(slices.Clone(keyed), func(n string) bool { return strings.Contains(n, "injector") })
	want := map[string][]string{"alpha/a": keyed, "alpha/b": keyed, "claude/default": keyed, "free/default": keyless}
	for _, c := range r.Clusters {
		if c.GetName() == wiring.NoCluster {
			continue
		}
		var names []string
		for _, f := range filters(t, c) {
			names = append(names, f.GetName())
		}
		if !slices.Equal(names, want[c.GetName()]) {
			t.Errorf("%s: filters %v, want %v: their order is the gateway's security", c.GetName(), names, want[c.GetName()])
		}
	}
}

func filters(t *testing.T, c *clusterv3.Cluster) []*hcmv3.HttpFilter {
	t.Helper()
	options := &upstreamsv3.HttpProtocolOptions{}
	for _, a := range c.GetTypedExtensionProtocolOptions() {
		if err := a.UnmarshalTo(options); err != nil {
			t.Fatal(err)
		}
	}
	return options.GetHttpFilters()
}

func TestBuild_previousKeepsWhatRequestsMayName(t *testing.T) {
	dir := certificateDir(t)
	old := compile(t, []byte(twoProviders), dir)
	s := compile(t, []byte(`
providers:
- name: alpha
  schema: openai
  endpoint: https://elsewhere.example
  credentials: [{name: a, secret: {env: KEY_ALPHA_A}}, {name: c, secret: {env: KEY_ALPHA_C}}]
`), dir)
	r := mustBuild(t, s, xds.FullWeights{}, old)
	var names []string
	for _, c := range r.Clusters {
		names = append(names, c.GetName())
		if c.GetName() == "alpha/a" && !strings.Contains(c.String(), "elsewhere.example") {
			t.Error("alpha/a has its old address: the current configuration goes before an earlier one")
		}
	}
	if want := []string{wiring.NoCluster, "alpha/a", "alpha/c", "alpha/b", "claude/default"}; !slices.Equal(names, want) {
		t.Errorf("clusters %v, want %v", names, want)
	}
	if len(mustBuild(t, s, xds.FullWeights{}).Clusters) != 3 {
		t.Error("clusters of an earlier configuration stay without being asked for")
	}
}

func TestBuild_faults(t *testing.T) {
	good := func() *config.Snapshot { return compile(t, []byte(twoProviders), certificateDir(t)) }
	for name, c := range map[string]struct {
		spoil func(*config.Snapshot)
		roots string
		want  string
	}{
		"unknown schema":  {func(s *config.Snapshot) { s.Providers[0].Schema = "cobol" }, "/r", `no headers are known for the schema "cobol"`},
		"no roots":        {func(*config.Snapshot) {}, "", "no CA bundle"},
		"name as address": {func(s *config.Snapshot) { s.Config.Listen.Address = "example.com:80" }, "/r", "listen.address"},
		"no port":         {func(s *config.Snapshot) { s.Config.Listen.Address = "127.0.0.1" }, "/r", "listen.address"},
		"cluster given twice": {func(s *config.Snapshot) {
			s.Clusters[1].Name = s.Clusters[0].Name
		}, "/r", "two clusters are called alpha/a"},
		"out of bounds": {func(s *config.Snapshot) { s.Retry.ConnectTimeout = -time.Second }, "/r", "is invalid"},
		"bounds deep inside": {func(s *config.Snapshot) {
			s.Clusters[0].Header = "bad\nheader"
		}, "/r", "is invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			c.spoil(s)
			_, err := xds.Build(s, xds.FullWeights{}, xds.Params{SystemRoots: c.roots})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
}

func TestBuild_listenAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:8080": "127.0.0.1", ":8080": "0.0.0.0", "localhost:8080": "127.0.0.1", "[::1]:8080": "::1", "[::]:8080": "::",
	} {
		s := compile(t, []byte("providers: [{name: p, schema: openai, endpoint: \"http://127.0.0.1:1\"}]"), t.TempDir())
		s.Config = proto.CloneOf(s.Config)
		s.Config.Listen = &dragomanv1.Listen{Address: address}
		a := mustBuild(t, s, xds.FullWeights{}).Listeners[0].GetAddress().GetSocketAddress()
		if a.GetAddress() != want || a.GetPortValue() != 8080 {
			t.Errorf("%s: %v", address, a)
		}
		if a.GetIpv4Compat() != (want == "::") {
			t.Errorf("%s: IPv4 clients of an IPv6 wildcard: %v", address, a.GetIpv4Compat())
		}
	}
}

func TestSystemRoots_findsTheBundle(t *testing.T) {
	dir := certificateDir(t)
	t.Setenv("SSL_CERT_FILE", dir+"/ca.pem")
	if got := xds.SystemRoots(); got != dir+"/ca.pem" {
		t.Errorf("SystemRoots = %q, want what $SSL_CERT_FILE names", got)
	}
	t.Setenv("SSL_CERT_FILE", dir)
	if got := xds.SystemRoots(); got == dir {
		t.Error("a folder was taken for a bundle")
	}
}

func TestReweigh_isBuildWithOtherWeights(t *testing.T) {
	dir := certificateDir(t)
	s, old := compile(t, []byte(twoProviders), dir), compile(t, []byte("providers: [{name: gone, schema: openai, endpoint: \"http://127.0.0.1:1\"}]"), dir)
	low := percents{"alpha/a": 10}
	p := xds.Params{SystemRoots: "/roots.pem", Previous: []*config.Snapshot{old}}
	got, err := mustBuild(t, s, xds.FullWeights{}, old).Reweigh(s, low, p)
	if err != nil {
		t.Fatal(err)
	}
	if want := mustBuild(t, s, low, old); got.Version != want.Version {
		t.Error("Reweigh and Build disagree")
	}
	if _, err := mustBuild(t, s, xds.FullWeights{}).Reweigh(s, low, p); err == nil {
		t.Error("routes to clusters that the resources lack were accepted")
	}
}

func BenchmarkReweigh(b *testing.B) {
	s := manyProviders(b)
	r := mustBuild(b, s, xds.FullWeights{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Reweigh(s, xds.FullWeights{}, xds.Params{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	s := manyProviders(b)
	b.ReportAllocs()
	for b.Loop() {
		mustBuild(b, s, xds.FullWeights{})
	}
}

// manyProviders has 20 of them with 2 keys each: 40 clusters.
func manyProviders(b *testing.B) *config.Snapshot {
	var yaml strings.Builder
	yaml.WriteString("providers:\n")
	for i := range 20 {
		fmt.Fprintf(&yaml, "- {name: p%d, schema: openai, endpoint: \"https://p%d.example\", credentials: [{name: a, secret: {env: KEY_A}}, {name: b, secret: {env: KEY_B}}]}\n", i, i)
	}
	return compile(b, []byte(yaml.String()), b.TempDir())
}
