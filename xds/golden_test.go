package xds_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3" // of the bootstrap
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"dragoman/envoy/bootstrap"
	"dragoman/envoy/process"
	"dragoman/internal/config"
	"dragoman/xds"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A case is one txtar file: dragoman.yaml, optionally weights ("cluster percent" lines) and retired.yaml (an earlier
// configuration), then the kinds of resources that the case is about.
const (
	inputFile   = "dragoman.yaml"
	weightsFile = "weights"
	retiredFile = "retired.yaml"
)

var outputs = []string{"listeners.yaml", "routes.yaml", "clusters.yaml", "secrets.yaml", "filters.yaml"}

func cases(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files (%v)", err)
	}
	return files
}

func TestBuild_golden(t *testing.T) {
	for _, path := range cases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := render(t, build(t, archive, "/etc/ssl/certs/ca-certificates.crt"))
			if *update {
				rewrite(t, path, archive, got)
				return
			}
			for _, f := range archive.Files {
				if slices.Contains([]string{inputFile, weightsFile, retiredFile}, f.Name) {
					continue
				}
				want, ok := got[f.Name]
				if !ok {
					t.Errorf("%s: Build makes nothing of this name", f.Name)
				} else if want != string(f.Data) {
					t.Errorf("%s differs (run go test ./xds -update, and read the diff):\n%s", f.Name, firstDifference(string(f.Data), want))
				}
			}
		})
	}
}

// TestBuild_isAcceptedByEnvoy lets the real Envoy read every golden case as a static configuration.
func TestBuild_isAcceptedByEnvoy(t *testing.T) {
	envoy, err := process.Find("")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range cases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			roots := filepath.Join(dir, "roots.pem")
			writeFile(t, roots, newCertificate(t, "roots").chain)
			file := filepath.Join(dir, "envoy.json")
			writeFile(t, file, static(t, build(t, archive, roots)))
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, envoy, "--mode", "validate", "-c", file, "--log-level", "warning").CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if bytes.Contains(out, []byte("eprecated")) {
				t.Errorf("the configuration uses what Envoy will drop:\n%s", out)
			}
		})
	}
}

// build compiles a case. Its certificates are made anew each time: keys do not belong into a repository.
func build(t *testing.T, archive *txtar.Archive, roots string) *xds.Resources {
	t.Helper()
	var input, retired *config.Snapshot
	weights := percents{}
	dir := certificateDir(t)
	for _, f := range archive.Files {
		switch f.Name {
		case inputFile:
			input = compile(t, f.Data, dir)
		case retiredFile:
			retired = compile(t, f.Data, dir)
		case weightsFile:
			weights = parseWeights(t, string(f.Data))
		}
	}
	p := xds.Params{SystemRoots: roots}
	if retired != nil {
		p.Previous = []*config.Snapshot{retired}
	}
	r, err := xds.Build(input, weights, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// percents are weights of some clusters, 100 for the rest.
type percents map[config.ClusterName]uint32

func (p percents) Percent(c config.ClusterName) uint32 {
	if n, ok := p[c]; ok {
		return n
	}
	return 100
}

func parseWeights(t *testing.T, text string) percents {
	p := percents{}
	for line := range strings.Lines(text) {
		name, n, _ := strings.Cut(strings.TrimSpace(line), " ")
		percent, err := strconv.ParseUint(n, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		p[config.ClusterName(name)] = uint32(percent)
	}
	return p
}

// render shows the resources as YAML, certificates and their keys by what they are.
func render(t *testing.T, r *xds.Resources) map[string]string {
	t.Helper()
	return map[string]string{
		"listeners.yaml": toYAML(t, r.Listeners),
		"routes.yaml":    toYAML(t, r.Routes),
		"clusters.yaml":  toYAML(t, masked(r.Clusters)),
		"secrets.yaml":   toYAML(t, masked(r.Secrets)),
		"filters.yaml":   toYAML(t, r.Filters),
	}
}

// masked replaces certificates and keys, which differ from run to run.
func masked[M proto.Message](list []M) []M {
	out := make([]M, len(list))
	for i, m := range list {
		out[i] = proto.CloneOf(m)
		switch m := any(out[i]).(type) {
		case *tlsv3.Secret:
			mask(m.GetTlsCertificate().GetCertificateChain(), "the certificate")
			mask(m.GetTlsCertificate().GetPrivateKey(), "the private key")
			mask(m.GetValidationContext().GetTrustedCa(), "the client CA")
		case *clusterv3.Cluster:
			maskCluster(m)
		}
	}
	return out
}

func maskCluster(c *clusterv3.Cluster) {
	ctx := &tlsv3.UpstreamTlsContext{}
	socket := c.GetTransportSocket().GetTypedConfig()
	if socket == nil || socket.UnmarshalTo(ctx) != nil {
		return
	}
	mask(ctx.GetCommonTlsContext().GetValidationContext().GetTrustedCa(), "the provider's CA")
	socket.Value, _ = proto.Marshal(ctx)
}

func mask(d *corev3.DataSource, with string) {
	if len(d.GetInlineBytes()) > 0 {
		d.Specifier = &corev3.DataSource_InlineString{InlineString: with}
	}
}

func toYAML[M proto.Message](t *testing.T, list []M) string {
	t.Helper()
	var out strings.Builder
	for _, m := range list {
		j, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		y, err := yaml.JSONToYAML(j)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(y)
	}
	return out.String()
}

// rewrite replaces the outputs that a case holds; a case without any gets all. Sections that Build no longer makes are dropped.
func rewrite(t *testing.T, path string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	var kept []txtar.File
	held := map[string]bool{}
	for _, f := range archive.Files {
		held[f.Name] = true
		if slices.Contains([]string{inputFile, weightsFile, retiredFile}, f.Name) {
			kept = append(kept, f)
		}
	}
	none := !slices.ContainsFunc(outputs, func(name string) bool { return held[name] })
	for _, name := range outputs {
		if none || held[name] {
			kept = append(kept, txtar.File{Name: name, Data: []byte(got[name])})
		}
	}
	archive.Files = kept
	writeFile(t, path, txtar.Format(archive))
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			return "line " + strconv.Itoa(i+1) + ":\n  golden: " + line(w, i) + "\n  now:    " + line(g, i)
		}
	}
	return ""
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(ends)"
}

// static puts the resources into a bootstrap as static ones, routes and filters in the listener's place for them, because Envoy validates
// only what it has at hand.
func static(t *testing.T, r *xds.Resources) []byte {
	t.Helper()
	rendered, err := bootstrap.Render(bootstrap.Params{Processor: "127.0.0.1:8082"})
	if err != nil {
		t.Fatal(err)
	}
	j, err := yaml.YAMLToJSON(rendered)
	if err != nil {
		t.Fatal(err)
	}
	boot := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(j, boot); err != nil {
		t.Fatal(err)
	}
	boot.StaticResources.Clusters = append(boot.StaticResources.Clusters, r.Clusters...)
	boot.StaticResources.Secrets = r.Secrets
	for _, l := range r.Listeners {
		l = proto.CloneOf(l)
		filter := l.GetFilterChains()[0].GetFilters()[0].GetTypedConfig()
		hcm := &hcmv3.HttpConnectionManager{}
		if err := filter.UnmarshalTo(hcm); err != nil {
			t.Fatal(err)
		}
		hcm.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: r.Routes[0]}
		for _, f := range hcm.GetHttpFilters() {
			if i := slices.IndexFunc(r.Filters, func(c *corev3.TypedExtensionConfig) bool { return c.GetName() == f.GetName() }); i >= 0 {
				f.ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: r.Filters[i].GetTypedConfig()}
			}
		}
		inlined, err := anypb.New(hcm)
		if err != nil {
			t.Fatal(err)
		}
		filter.Value = inlined.Value
		boot.StaticResources.Listeners = append(boot.StaticResources.Listeners, l)
	}
	out, err := protojson.Marshal(boot)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
