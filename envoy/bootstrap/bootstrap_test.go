package bootstrap_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"

	"dragoman/envoy/bootstrap"
	"dragoman/envoy/process"
	"dragoman/internal/wiring"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var cases = map[string]bootstrap.Params{
	"socket": {Processor: "unix:///run/dragoman/envoy.sock"},
	"name":   {Processor: "dragoman.internal:8082", Admin: "127.0.0.1:9901", NodeID: "edge-7", MaxConnections: 100},
	"ipv6":   {Processor: "[::1]:8082", Admin: "[::1]:9901"},
}

func TestRender_golden(t *testing.T) {
	for name, p := range cases {
		got, err := bootstrap.Render(p)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".yaml")
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs (run go test ./envoy/bootstrap -update, and read the diff):\n%s", path, got)
		}
	}
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		if _, ok := cases[name]; ok {
			continue
		}
		if *update {
			os.Remove(f)
		} else {
			t.Errorf("%s belongs to no case", f)
		}
	}
}

// TestRender_means reads the page as Envoy's own type: every field exists, and names what both sides agreed on.
func TestRender_means(t *testing.T) {
	for name, p := range cases {
		t.Run(name, func(t *testing.T) {
			page, err := bootstrap.Render(p)
			if err != nil {
				t.Fatal(err)
			}
			j, err := yaml.YAMLToJSON(page)
			if err != nil {
				t.Fatal(err)
			}
			b := &bootstrapv3.Bootstrap{}
			if err := protojson.Unmarshal(j, b); err != nil {
				t.Fatal(err)
			}
			if err := b.ValidateAll(); err != nil {
				t.Fatal(err)
			}
			ads := b.GetDynamicResources().GetAdsConfig()
			if ads.GetApiType() != corev3.ApiConfigSource_DELTA_GRPC || ads.GetGrpcServices()[0].GetEnvoyGrpc().GetClusterName() != wiring.Cluster {
				t.Errorf("xDS: %v", ads)
			}
			if b.GetStaticResources().GetClusters()[0].GetName() != wiring.Cluster || b.GetNode().GetCluster() != wiring.NodeCluster {
				t.Error("the names are not those of wiring")
			}
		})
	}
}

func TestRender_isAcceptedByEnvoy(t *testing.T) {
	envoy, err := process.Find("")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) != len(cases) {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		out, err := exec.CommandContext(ctx, envoy, "--mode", "validate", "-c", file, "--log-level", "warning").CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
		if bytes.Contains(out, []byte("eprecated")) {
			t.Errorf("%s uses what Envoy will drop:\n%s", file, out)
		}
	}
}

func TestRender_faults(t *testing.T) {
	for _, c := range []struct {
		p    bootstrap.Params
		want string
	}{
		{bootstrap.Params{}, "processor.address"},
		{bootstrap.Params{Processor: "127.0.0.1"}, "neither host:port nor unix"},
		{bootstrap.Params{Processor: ":8082"}, "neither host:port nor unix"},
		{bootstrap.Params{Processor: "127.0.0.1:99999"}, "neither host:port nor unix"},
		{bootstrap.Params{Processor: "unix://relative.sock"}, "absolute path"},
		{bootstrap.Params{Processor: "unix:///" + strings.Repeat("x", 200)}, "at most 107 bytes"},
		{bootstrap.Params{Processor: "127.0.0.1:8082", Admin: "unix:///run/admin.sock"}, "envoy.admin_address"},
		{bootstrap.Params{Processor: "127.0.0.1:8082", Admin: "example.com:9901"}, "envoy.admin_address"},
	} {
		if _, err := bootstrap.Render(c.p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want an error with %q", c.p, err, c.want)
		}
	}
}

// What a person types cannot become more YAML.
func TestRender_quotes(t *testing.T) {
	hostile := "a\"}\nadmin: {address: x}\n# "
	page, err := bootstrap.Render(bootstrap.Params{Processor: "unix:///run/" + hostile, NodeID: hostile})
	if err != nil {
		t.Fatal(err)
	}
	j, err := yaml.YAMLToJSON(page)
	if err != nil {
		t.Fatal(err)
	}
	b := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(j, b); err != nil {
		t.Fatal(err)
	}
	if b.GetNode().GetId() != hostile || b.GetAdmin().GetAddress().GetSocketAddress().GetAddress() != "127.0.0.1" {
		t.Errorf("node %q, admin %v", b.GetNode().GetId(), b.GetAdmin())
	}
}

func TestParseAddress(t *testing.T) {
	for s, want := range map[string]bootstrap.Address{
		"127.0.0.1:80":       {Host: "127.0.0.1", Port: 80},
		"localhost:80":       {Host: "127.0.0.1", Port: 80},
		"[::1]:80":           {Host: "::1", Port: 80},
		"host.example:65535": {Host: "host.example", Port: 65535, DNS: true},
		"unix:///a/b.sock":   {Path: "/a/b.sock"},
	} {
		if got, err := bootstrap.ParseAddress(s); err != nil || got != want {
			t.Errorf("%s: %+v %v", s, got, err)
		}
	}
}
