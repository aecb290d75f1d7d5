package app

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"dragoman/envoy/bootstrap"
	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/internal/keystore"
	"dragoman/processor"
	"dragoman/processor/route"
	"dragoman/translate"
	"dragoman/xds"
)

// Question is what `check` is asked about one request.
type Question struct {
	Request string   // file with the body, - for standard input, "" for none
	Path    string   // the endpoint that it would be sent to
	Headers []string // "name: value", as the client would send them
	Key     string   // a path of the config or of the store of keys: tenant/key, tenant/team/@user/key; "": anonymous, or any key where keys are needed
	Claims  string   // instead of Key: file with a token's claims, - for standard input
	SAN     string   // instead of Key: a subject alternative name of a client's certificate
	JSON    bool
}

// Check validates the configuration, down to what Envoy would be told, and explains what would happen to a request. Nothing
// is started or sent. The error says everything that is wrong.
func Check(o Options, q Question) error {
	a := &App{o: o}
	defer a.closeDemo()
	defer a.closeVault()
	snap, err := config.Load(a.configOptions())
	if err != nil {
		return err
	}
	if _, err := xds.Build(snap, xds.FullWeights{}, xds.Params{SystemRoots: xds.SystemRoots()}); err != nil {
		return err
	}
	by, p, err := known(snap, &q)
	if err != nil {
		return err
	}
	if q.Request == "" && p != nil {
		return printCaller(o.Stdout, snap, by, p)
	}
	if q.Request == "" {
		printFound(o.Stdout, snap)
		fmt.Fprintf(o.Stdout, "\n%s: valid, version %s\n", snap.Source, snap.Version)
		if err := snap.Admin.Exposed(); err != nil {
			fmt.Fprintf(o.Stderr, "%v. A start looks for a token of role admin in the ledger's database\n", err)
		}
		return nil
	}
	body, err := readRequest(q.Request, int64(snap.Limits.MaxBody)+1)
	if err != nil {
		return err
	}
	if p == nil {
		if p, err = principalNamed(o, snap, q.Key); err != nil {
			return err
		}
	}
	gate, closeGate := checkGate(snap)
	defer closeGate()
	asked := processor.Asked{Path: q.Path, Body: body, Principal: p}
	if asked.Headers, err = askedHeaders(snap, q.Headers, o.Stderr); err != nil {
		return err
	}
	e := processor.Explain(snap, &health.View{}, asked, 0.5, time.Now(), gate)
	if q.JSON {
		enc := json.NewEncoder(o.Stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		err = enc.Encode(e)
	} else {
		printExplanation(o.Stdout, &e)
	}
	if err == nil && e.Refused != nil {
		return errors.New("the request would be refused: " + e.Refused.Kind)
	}
	return err
}

// askedHeaders reads headers as curl takes them, and names those that would not get past Envoy.
func askedHeaders(snap *config.Snapshot, lines []string, stderr io.Writer) (list []translate.Header, err error) {
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsFunc(name, noToken) || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, fmt.Errorf("--header must be 'name: value', not %q", name)
		}
		switch {
		case slices.Contains([]string{"authorization", "x-api-key", "api-key", "x-goog-api-key"}, name):
			return nil, fmt.Errorf("--header %s: say whose request it is with --key; no credential is needed", name)
		case !processor.Enters(snap, name):
			fmt.Fprintf(stderr, "the header %s does not come in: to let rules read it, name it in listen.headers\n", name)
			continue
		}
		list = append(list, translate.Header{Name: name, Value: value})
	}
	return list, nil
}

// noToken says that a character cannot stand in a header's name (RFC 9110, token).
func noToken(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

func readRequest(path string, bound int64) ([]byte, error) {
	in := os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	return io.ReadAll(io.LimitReader(in, bound))
}

// principalNamed finds a key of the configuration, or of the store of keys, by its path.
func principalNamed(o Options, snap *config.Snapshot, path string) (*config.Principal, error) {
	if snap.Keys.Open {
		return config.Anonymous, nil
	}
	var known []string
	for _, p := range snap.Keys.ByHash {
		if path == p.Path() {
			return p, nil
		}
		known = append(known, p.Path())
	}
	slices.Sort(known)
	if path == "" {
		return nil, errors.New("this configuration needs a key: say whose request it is with --key, one of " + strings.Join(known, ", "))
	}
	p, err := storedPrincipal(o, snap, path)
	if err == nil || !errors.Is(err, keystore.ErrNotFound) {
		return p, err
	}
	return nil, fmt.Errorf("there is no key %q; the configuration has %s", path, strings.Join(known, ", "))
}

func printExplanation(w io.Writer, e *processor.Explanation) {
	fmt.Fprintf(w, "principal   %s\nrequest     %s, model %s, stream %t, about %d input tokens\n", e.Principal, e.Schema, e.Asked, e.Stream, e.Tokens)
	if e.Route != "" {
		fmt.Fprintf(w, "route       %s (%s): %s\n\n", e.Route, e.Strategy, e.Reason)
		t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
		fmt.Fprintln(t, "candidate\tscore\tprice\tlatency\tquality\theadroom\thealth\tcost (USD)\tseconds\t")
		fmt.Fprintf(t, "  weights\t\t%.2f\t%.2f\t%.2f\t%.2f\t\t\t\t\n", e.Weights.Price, e.Weights.Latency, e.Weights.Quality, e.Weights.Headroom)
		for _, c := range e.Candidates {
			if c.Excluded != route.Able {
				fmt.Fprintf(t, "%s\texcluded: %s\n", c.Model.Ref, c.Excluded)
				continue
			}
			fmt.Fprintf(t, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%s\t%s\t%s\n", c.Model.Ref, c.Score, c.Price, c.Latency, c.Quality, c.Headroom,
				c.Health, costOf(&c), secondsOf(&c), c.Lifted)
		}
		t.Flush()
		if e.Others > 0 {
			fmt.Fprintf(w, "and %d more with lower scores\n", e.Others)
		}
	}
	printLevels(w, e.Limits)
	for i, a := range e.Attempts {
		fmt.Fprintf(w, "\nattempt %d   group %s, model %s, POST %s\n", i+1, a.Group, a.Model, a.Path)
		for name, value := range a.Headers {
			fmt.Fprintf(w, "            %s: %s\n", name, value)
		}
		if len(a.Dropped) > 0 {
			fmt.Fprintf(w, "            left out: %s\n", strings.Join(a.Dropped, ", "))
		}
		if a.Error != "" {
			fmt.Fprintf(w, "            cannot be sent: %s\n", a.Error)
			continue
		}
		fmt.Fprintf(w, "%s\n", indented(a.Body))
	}
	if e.Refused != nil {
		fmt.Fprintf(w, "\nrefused     %d (%s)\n%s\n", e.Refused.Status, e.Refused.Kind, indented(e.Refused.Body))
	}
}

// costOf is what a candidate is expected to cost, and secondsOf how long it is expected to take.
func costOf(c *route.Scored) string {
	if c.Cost < 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.6f", float64(c.Cost)/1e6)
}

func secondsOf(c *route.Scored) string {
	if c.Seconds == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.3f", c.Seconds)
}

func indented(body []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return string(body)
	}
	return out.String()
}

// Bootstrap prints the bootstrap of an Envoy that `dragoman serve` serves.
func Bootstrap(o Options, envoyAdmin string) error {
	a := &App{o: o}
	defer a.closeDemo()
	defer a.closeVault()
	snap, err := config.Load(a.configOptions())
	if err != nil {
		return err
	}
	text, err := bootstrap.Render(bootstrap.Params{Processor: snap.Config.GetProcessor().GetAddress(), Admin: envoyAdmin})
	if err != nil {
		return err
	}
	_, err = o.Stdout.Write(text)
	return err
}

// CreateKey prints a new key, which is shown nowhere else, and its hash for the config.
func CreateKey(w io.Writer) error {
	key, err := config.NewKey(rand.Reader)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "key:  %s\nhash: %s\n\nGive the key to the caller; it is not kept anywhere. Put the hash into the config:\n\n  tenants:\n  - name: acme\n    keys:\n    - {name: ci, hash: %q}\n",
		key, config.HashKey(key), config.HashKey(key))
	return err
}
