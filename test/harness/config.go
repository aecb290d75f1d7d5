package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"dragoman/test/fakeprovider"
)

// fixed comes before every configuration: free ports, and a debug log that is shown only on failure.
const fixed = `listen: {address: "127.0.0.1:0"}
log: {level: debug, format: text}
`

// Render makes a configuration from its template.
func (g *Gateway) Render(text string) (string, error) {
	if text == "" {
		text = "{{providers}}"
	}
	t, err := template.New("config").Funcs(template.FuncMap{
		"providers": func() (string, error) { return g.providersYAML(g.first) },
		"everyone":  g.everyoneYAML, "provider": g.providerYAML, "dir": func() string { return g.Dir }, "keyvar": keyVariable,
		"endpoint": func(name string) (string, error) {
			f, err := g.fake(name)
			if err != nil {
				return "", err
			}
			return f.Origin(), nil
		},
		"models": func(name string) (string, error) {
			f, err := g.fake(name)
			if err != nil {
				return "", err
			}
			return modelList(f), nil
		},
	}).Parse(text)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, nil); err != nil {
		return "", err
	}
	out := b.String()
	for _, line := range strings.SplitAfter(fixed, "\n") {
		if key, _, ok := strings.Cut(line, ":"); ok && !hasTopLevel(out, key) {
			out = line + out
		}
	}
	return out, nil
}

func hasTopLevel(yaml, key string) bool {
	return strings.HasPrefix(yaml, key+":") || strings.Contains(yaml, "\n"+key+":")
}

// providersYAML is `providers` with all of these fakes.
func (g *Gateway) providersYAML(names []string) (string, error) {
	out := "providers:\n"
	for _, name := range names {
		p, err := g.providerYAML(name)
		if err != nil {
			return "", err
		}
		out += p
	}
	return out, nil
}

// providerYAML is one element of `providers`, for a fake in clear or with TLS by its own authority.
func (g *Gateway) providerYAML(name string) (string, error) {
	f, err := g.fake(name)
	if err != nil {
		return "", err
	}
	tls := ""
	if f.CA() != nil {
		path := filepath.Join(g.Dir, "ca-"+name+".pem")
		if err := os.WriteFile(path, f.CA().PEM(), 0o600); err != nil {
			return "", err
		}
		tls = fmt.Sprintf("    tls: {ca: %q}\n", path)
	}
	return fmt.Sprintf("  - name: %s\n    schema: %s\n    endpoint: %s\n    %s\n    models: %s\n%s",
		name, schemaYAML(f), f.Origin(), credentialYAML(f), modelNames(f), tls), nil
}

func modelNames(f *fakeprovider.Server) string { return flow(f.Models()) }

// modelList names the fake's models as clients may ask for any provider's: provider/model.
func modelList(f *fakeprovider.Server) string {
	var names []string
	for _, m := range f.Models() {
		names = append(names, f.Name()+"/"+m)
	}
	return flow(names)
}

// flow is a YAML list in one line.
func flow(items []string) string {
	b, _ := json.Marshal(items) // strings always marshal
	return string(b)
}

func (g *Gateway) writeConfig(text string) error {
	yaml, err := g.Render(text)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	// Written beside and renamed, as an editor or a mounted volume does: Dragoman never reads a half.
	if err := os.WriteFile(g.config+".new", []byte(yaml), 0o600); err != nil {
		return err
	}
	return os.Rename(g.config+".new", g.config)
}

// Reload puts a configuration (a template, as in Options) in force and returns when requests go by it.
func (g *Gateway) Reload(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := g.writeConfig(text); err != nil {
		return err
	}
	g.mu.Lock()
	d := g.dragoman
	g.mu.Unlock()
	if err := d.reload(ctx); err != nil {
		return err
	}
	g.opts.Config = text
	if err := g.waitApplied(ctx); err != nil {
		return err
	}
	return g.waitServing(ctx)
}

// MustReload is Reload for a test.
func (g *Gateway) MustReload(t testing.TB, text string) {
	t.Helper()
	if err := g.Reload(t.Context(), text); err != nil {
		t.Fatalf("reload: %v\n%s", err, g.tails())
	}
}
