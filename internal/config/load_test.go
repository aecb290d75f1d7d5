package config

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what was got as what is wanted")

// demoAt stands for the running demo providers.
func demoAt() (DemoEndpoints, error) {
	return DemoEndpoints{OpenAI: "http://127.0.0.1:1111", Anthropic: "http://127.0.0.1:2222"}, nil
}

// envOf reads NAME=value lines; \n in a value is a line break.
func envOf(text string) func(string) (string, bool) {
	env := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if ok {
			env[name] = strings.ReplaceAll(value, `\n`, "\n")
		}
	}
	return func(name string) (string, bool) { value, ok := env[name]; return value, ok }
}

func noEnv(string) (string, bool) { return "", false }

func fixedNow() time.Time { return time.Unix(1_700_000_000, 0) }

// loadCase lays the files of a case into a folder and loads its dragoman.yaml, or only its environment.
func loadCase(t *testing.T, a *txtar.Archive) (*Snapshot, string, error) {
	t.Helper()
	dir := t.TempDir()
	o := Options{Env: noEnv, Now: fixedNow, Demo: demoAt}
	for _, f := range a.Files {
		switch f.Name {
		case "problems", "snapshot":
		case "env":
			o.Env = envOf(string(f.Data))
		default:
			if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			if f.Name == "dragoman.yaml" {
				o.Path = filepath.Join(dir, f.Name)
			}
		}
	}
	s, err := Load(o)
	return s, dir, err
}

// TestLoad runs every case of testdata/load: files in, the problems or the snapshot out.
func TestLoad(t *testing.T) {
	paths, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d cases, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, dir, err := loadCase(t, a)
			name, got := "problems", ""
			if err != nil {
				got = err.Error()
			} else {
				name, got = "snapshot", describe(s)
			}
			got = strings.ReplaceAll(strings.ReplaceAll(got, dir+"/", ""), dir, "DIR") + "\n"
			if strings.Contains(got, "SECRET") {
				t.Errorf("a secret's value is shown:\n%s", got)
			}
			golden(t, path, a, name, got)
		})
	}
}

// golden compares with the section `name`, which replaces the one of the other outcome.
func golden(t *testing.T, path string, a *txtar.Archive, name, got string) {
	t.Helper()
	at := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if at >= 0 && string(a.Files[at].Data) == got {
		return
	}
	if !*update {
		want := "(no such section)"
		if at >= 0 {
			want = string(a.Files[at].Data)
		}
		t.Fatalf("%s:\n--- got\n%s--- want\n%s", name, got, want)
	}
	a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return f.Name == "problems" || f.Name == "snapshot" })
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(got)})
	if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

// describe shows a snapshot, without the built-in catalogue's figures, which change with every price.
func describe(s *Snapshot) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, x := range s.Providers {
		p("provider %s schema=%s base=%s http=%s local=%t ca=%t demo=%t", x.Name, x.Schema, x.BasePath, x.HTTP, x.Local, len(x.CAData) > 0, x.Demo)
		if x.Dialect != "" || x.APIVersion != "" {
			p("  dialect %s version=%q", x.Dialect, x.APIVersion)
		}
		if len(x.APIs) > 0 {
			p("  apis %s", strings.Join(slices.Sorted(maps.Keys(x.APIs)), " "))
		}
	}
	for _, c := range s.Clusters {
		p("cluster %d %s %s:%d tls=%t sni=%q weight=%d secret=%s as %q header=%q prefix=%q", c.Index, c.Name, c.Host, c.Port, c.TLS, c.ServerName,
			c.Weight, c.Secret, c.SecretName, c.Header, c.Prefix)
		if c.Signing != nil {
			p("  signing %+v", *c.Signing)
		}
		if c.Grant != nil && c.Grant.Google != nil {
			p("  grant google %+v", *c.Grant.Google)
		}
		if c.Grant != nil && c.Grant.Entra != nil {
			p("  grant entra %+v", *c.Grant.Entra)
		}
	}
	for _, m := range s.Models {
		if m.Price != nil && strings.HasPrefix(m.Price.Source, "https://") {
			continue // built in, and not changed
		}
		p("model %s = %s aliases=%v price=%s context=%d max=%d quality=%v caps=%d deprecated=%t pinned=%t", m.Name, m.Ref, m.Aliases,
			describePrice(m.Price), m.Context, m.MaxOutput, m.Quality, len(m.Capabilities), m.Deprecated, m.Pinned)
	}
	for _, r := range s.Routes {
		p("route %s %s price=%.3f latency=%.3f quality=%.3f headroom=%.3f: %s", r.Name, r.Strategy, r.Weights.Price, r.Weights.Latency, r.Weights.Quality, r.Weights.Headroom, describeCandidates(r))
		if r.Lossy || r.Overlong != OverlongReject {
			p("  lossy=%t overlong=%s", r.Lossy, r.Overlong)
		}
		if line := describeRouting(r); line != "" {
			p("  %s", line)
		}
	}
	for _, r := range s.Rules {
		p("rule %s: %s", r.Name, describeRule(r))
	}
	if len(s.Headers) > 0 {
		p("headers %v", s.Headers)
	}
	if id := s.Identity; id != nil {
		describeIdentity(p, id)
	}
	p("keys open=%t", s.Keys.Open)
	var keys []string
	for _, k := range s.Keys.ByHash {
		keys = append(keys, fmt.Sprintf("key %s models=%v revoked=%t trusted=%t%s", k.Path(), k.Models, k.Revoked, k.Trusted, describeLevels(k)))
	}
	slices.Sort(keys)
	for _, k := range keys {
		p("%s", k)
	}
	p("limits %+v\nretry %+v\nhealth %+v\ncache %+v\ncoalesce %+v", s.Limits, s.Retry, s.Health, s.Cache, s.Coalesce)
	p("listen %s admin %s processor %s tls=%t", s.Config.Listen.Address, s.Config.Admin.Address, s.Config.Processor.Address, s.TLS != nil)
	if s.Media.Fetch {
		p("media %+v", s.Media)
	}
	for _, f := range s.Found {
		p("found %s %s credential=%s lacks=%q", f.Provider, f.Endpoint, f.Credential, f.Lacks)
	}
	for _, w := range s.Warnings {
		p("warning: %s", w)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// describeLevels is what stands above a key, and what it may reach.
func describeLevels(p *Principal) string {
	b := &strings.Builder{}
	if len(p.Above) > 0 {
		fmt.Fprintf(b, " above=%v", p.Above)
	}
	if p.Reach != nil {
		fmt.Fprintf(b, " reach=%v", p.Reach)
	}
	if len(p.Tags) > 0 {
		fmt.Fprintf(b, " tags=%v", p.Tags)
	}
	fmt.Fprintf(b, " slot=%s", p.Slot)
	for _, m := range p.Meters {
		fmt.Fprintf(b, "\n  %s: %d %s (%s)", m.Key, m.Limit(time.Time{}), m.Name, m.Mode)
		if m.Kind.Budget() {
			fmt.Fprintf(b, " warn=%v unpriced=%d assumed=%s overrides=%v", m.WarnAt, m.Unpriced, describePrice(m.Assumed), m.Overrides)
		}
	}
	return b.String()
}

// describeRouting is what a route says about choosing, where that is not what every route says.
func describeRouting(r *Route) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	usual := defaultRouting(r.Strategy)
	if r.LocalFirst != usual.LocalFirst {
		add("local_first=%g", r.LocalFirst)
	}
	if r.Sticky != usual.Sticky {
		add("sticky=%s", r.Sticky)
	}
	if r.Affinity != usual.Affinity {
		add("affinity=%+v", r.Affinity)
	}
	if c := r.Ceilings; c.Cost+c.InputPrice+c.OutputPrice > 0 || c.Latency > 0 || c.Providers != nil || c.DataRegions != nil {
		add("ceilings=%+v", c)
	}
	if c := r.Canary; c != nil {
		add("canary=%s share=%g ramp=%v start=%s margins=%g/%g min=%d window=%s", c.Model.Ref, c.Share, c.Ramp, c.Start, c.ErrorMargin, c.LatencyMargin, c.MinRequests, c.Window)
	}
	if m := r.Mirror; m != nil {
		add("mirror=%s share=%g most=%d", m.Model.Ref, m.Share, m.MaxInFlight)
	}
	if q := r.Queue; q != nil {
		add("queue=%+v", *q)
	}
	if d := r.Downgrade; d != nil {
		add("downgrade=%s budget_left=%g queue=%g latency=%s", describeCandidates(&Route{Candidates: d.Candidates}), d.BudgetLeft, d.Queue, d.Latency)
	}
	if r.Strategy == Experiment {
		var names []string
		for _, c := range r.Candidates {
			names = append(names, c.Variant)
		}
		add("variants=%v", names)
	}
	if r.ByTask {
		add("by task")
	}
	return strings.Join(parts, " ")
}

func describeRule(r *Rule) string {
	switch {
	case r.Refuse != nil:
		return fmt.Sprintf("%s → refuse %s %q", r.When.Source(), r.Refuse.Kind, r.Refuse.Message)
	case r.Route != nil:
		return fmt.Sprintf("%s → route %s", r.When.Source(), r.Route.Name)
	default:
		return fmt.Sprintf("%s → providers %v", r.When.Source(), r.Providers)
	}
}

func describePrice(p *Price) string {
	if p == nil {
		return "unknown"
	}
	text := fmt.Sprintf("%d/%d/%d/%d/%d", p.Input, p.Output, p.CacheRead, p.CacheWrite, p.CacheWrite1h)
	if p.Long != nil {
		text += fmt.Sprintf(">%d:%s", p.Above, describePrice(p.Long))
	}
	return text
}

func describeCandidates(r *Route) string {
	if len(r.Candidates) > 10 {
		return "more than 10"
	}
	var list []string
	for _, c := range r.Candidates {
		list = append(list, fmt.Sprintf("%s×%g", c.Model.Ref, c.Weight))
	}
	return strings.Join(list, " ")
}

func describeIdentity(p func(string, ...any), id *Identity) {
	for _, j := range id.JWT {
		p("jwt %s %s issuer=%s audiences=%v keys=%d url=%s refresh=%s claims=%s|%s|%s caller=%q models=%v", j.Name, j.ID, j.Issuer, j.Audiences, len(j.JWKS), j.URL, j.Refresh,
			j.Claims.Tenant, j.Claims.Team, j.Claims.User, j.Caller, j.Key.Models)
		if c := j.Server; c != nil {
			p("  server %s %s:%d tls=%t sni=%q", c.Name, c.Host, c.Port, c.TLS, c.ServerName)
		}
	}
	for _, c := range id.Certificates {
		p("certificate %s forwarded=%t proxy=%v san=%v caller=%v models=%v", c.Name, c.Forwarded, c.proxy, c.san, c.caller, c.Key.Models)
	}
}
