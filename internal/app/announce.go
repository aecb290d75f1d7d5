package app

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"dragoman/internal/config"
)

// announce tells a person what was started and what to try.
func (a *App) announce() {
	snap := a.serving.Load()
	w := a.o.Stdout
	for _, warning := range snap.Warnings {
		a.log.Warn(warning)
	}
	if !a.o.Envoy {
		fmt.Fprintf(w, "Dragoman %s serves ext_proc and xDS at %s. Start your Envoy with: dragoman bootstrap\nadmin    %s://%s\n",
			Version, a.processorAddr, a.adminScheme(), a.adminAddr)
		return
	}
	printFound(w, snap)
	base := a.baseURL(snap)
	fmt.Fprintf(w, `
gateway  %s     OpenAI base URL %s/v1, Anthropic base URL %s
admin    %s://%s     /metrics /healthz /readyz /status
config   %s, version %s

Try:
  curl -s %s/v1/chat/completions %s-d '{"model":"auto","messages":[{"role":"user","content":"hello"}]}'
`, base, base, base, a.adminScheme(), a.adminAddr, snap.Source, snap.Version, base, keyHint(snap))
	if snap.Demo {
		fmt.Fprintf(w, "  ... add \"stream\":true, or say \"fail please\" to see a failover (x-dragoman-attempts), with -i\n")
	}
}

// baseURL is the gateway's address as a client on this machine would write it.
func (a *App) baseURL(snap *config.Snapshot) string {
	address := a.gatewayAddr // not the configuration's, whose port may be 0
	for _, any := range []string{"0.0.0.0:", "[::]:"} {
		if rest, ok := strings.CutPrefix(address, any); ok {
			address = "localhost:" + rest
		}
	}
	if snap.TLS != nil {
		return "https://" + address
	}
	return "http://" + address
}

func keyHint(snap *config.Snapshot) string {
	if snap.Keys.Open {
		return ""
	}
	return `-H "authorization: Bearer $KEY" `
}

// printFound is the table of providers that can be used, and a line of what others lack.
func printFound(w io.Writer, snap *config.Snapshot) {
	t := tabwriter.NewWriter(w, 2, 8, 3, ' ', 0)
	fmt.Fprintln(t, "provider\tschema\tendpoint\tcredential\tmodels\t")
	var lacking []string
	for _, f := range snap.Found {
		if f.Lacks != "" {
			lacking = append(lacking, fmt.Sprintf("%s (%s)", f.Provider, strings.TrimSuffix(f.Lacks, " is not set")))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t\n", f.Provider, f.Schema, f.Endpoint, f.Credential, f.Models)
	}
	t.Flush()
	if len(lacking) > 0 {
		fmt.Fprintf(w, "lacking  %s\n", strings.Join(lacking, ", "))
	}
}
