package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dragoman/envoy/process"
)

// options of a run.
type options struct {
	duration    time.Duration
	warmUp      time.Duration
	rounds      int
	concurrency int
	workers     uint
	pace        time.Duration
	provider    string
	json        string
	cases       *regexp.Regexp
	envoy       string
	builds      []build
	noBuild     bool // measure no Dragoman at all
	others      []*other
}

// build is one Dragoman binary to measure.
type build struct{ name, path string }

// other is another gateway, which somebody else started and ends.
type other struct {
	name, address, path string
	pids                []int
	model, translated   string
	key                 string
}

const usage = `Measures requests per second, latency and CPU per request of a direct connection, of a plain Envoy, and of Envoy + Dragoman,
one after the other in one run, against a fast fake provider. Ratios count; figures of two machines do not compare.

`

// parse reads the command line.
func parse(args []string, output io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Usage = func() {
		fmt.Fprint(output, usage)
		flags.PrintDefaults()
	}
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "time counted for each cell of the table, all rounds together")
	flags.DurationVar(&o.warmUp, "warmup", 200*time.Millisecond, "time before counting, in each round")
	flags.IntVar(&o.rounds, "rounds", 5, "how often cases and targets take turns; the median counts")
	flags.IntVar(&o.concurrency, "concurrency", 16, "`connections`, each with one request at a time")
	flags.UintVar(&o.workers, "envoy-workers", 1, "worker `threads` of each Envoy")
	flags.DurationVar(&o.pace, "pace", 5*time.Millisecond, "time between two chunks of a paced stream")
	flags.StringVar(&o.provider, "provider", "127.0.0.1:0", "`HOST:PORT` of the fake provider, fixed for the sake of --against")
	flags.StringVar(&o.json, "json", filepath.Join("bin", "bench.json"), "`FILE` for the results, \"\" for none")
	flags.Func("cases", "only the cases whose name matches this `REGEXP` (default all: "+caseNames()+")", func(s string) (err error) {
		o.cases, err = regexp.Compile(s)
		return err
	})
	flags.StringVar(&o.envoy, "envoy", "", "`PATH` of the Envoy of both (default as dragoman run finds it)")
	flags.Func("dragoman", "`[NAME=]PATH` of a Dragoman to measure (default bin/dragoman); repeat it to compare builds; none leaves it out", o.addBuild)
	flags.Func("against", "`NAME=URL,PID[,PID...]` of another gateway: its OpenAI base URL (/v1 when it has no path) and the processes whose CPU counts; repeatable", o.addOther)
	flags.Func("against-model", "`[NAME=]MODEL` to ask the other gateway for (default "+modelPlain+")", o.each(func(g *other, v string) { g.model = v }))
	flags.Func("against-translated", "`[NAME=]MODEL` of an Anthropic provider; without it, the other gateway is not measured translating", o.each(func(g *other, v string) { g.translated = v }))
	flags.Func("against-key", "`[NAME=]KEY` for the other gateway, as a bearer token", o.each(func(g *other, v string) { g.key = v }))
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, o.complete()
}

func (o *options) complete() (err error) {
	switch {
	case o.duration <= 0 || o.warmUp < 0 || o.pace < 0:
		return errors.New("a time must be positive")
	case o.rounds < 1 || o.rounds > 1000:
		return errors.New("--rounds must be 1 to 1000")
	case o.concurrency < 1 || o.concurrency > 10_000:
		return errors.New("--concurrency must be 1 to 10000")
	case o.workers < 1 || o.workers > 1024:
		return errors.New("--envoy-workers must be 1 to 1024")
	case len(o.selected()) == 0:
		return fmt.Errorf("no case matches; there are %s", caseNames())
	}
	if len(o.builds) == 0 && !o.noBuild {
		o.builds = []build{{"dragoman", filepath.Join("bin", "dragoman")}}
	}
	o.envoy, err = process.Find(o.envoy)
	return err
}

// selected are the cases to run.
func (o *options) selected() []*kase {
	var list []*kase
	for i := range cases {
		if o.cases == nil || o.cases.MatchString(cases[i].name) {
			list = append(list, &cases[i])
		}
	}
	return list
}

func caseNames() string {
	names := make([]string, len(cases))
	for i := range cases {
		names[i] = cases[i].name
	}
	return strings.Join(names, ", ")
}

func (o *options) addBuild(s string) error {
	if s == "none" {
		o.noBuild = true
		return nil
	}
	b := build{"dragoman", s}
	if name, path, ok := strings.Cut(s, "="); ok {
		b = build{name, path}
	}
	if b.path == "" || !isTargetName(b.name) {
		return errors.New("want [NAME=]PATH, the name of letters and digits")
	}
	if o.taken(b.name) {
		return fmt.Errorf("the name %s is taken", b.name)
	}
	o.builds = append(o.builds, b)
	return nil
}

func (o *options) addOther(s string) error {
	name, rest, _ := strings.Cut(s, "=")
	parts := strings.Split(rest, ",")
	u, err := url.Parse(parts[0])
	if err != nil || !isTargetName(name) || len(parts) < 2 || u.Scheme != "http" || u.Port() == "" {
		return errors.New("want NAME=http://HOST:PORT[/PATH],PID[,PID...], the name of letters and digits")
	}
	if o.taken(name) {
		return fmt.Errorf("the name %s is taken", name)
	}
	g := &other{name: name, address: u.Host, path: strings.TrimSuffix(u.Path, "/"), model: modelPlain}
	if g.path == "" {
		g.path = "/v1"
	}
	for _, p := range parts[1:] {
		pid, err := strconv.Atoi(p)
		if err != nil || pid < 1 {
			return fmt.Errorf("%q is no process id", p)
		}
		g.pids = append(g.pids, pid)
	}
	o.others = append(o.others, g)
	return nil
}

// taken says whether a target has this name: it names files, and columns of the result.
func (o *options) taken(name string) bool {
	if name == targetDirect || name == targetPlain || name == "provider" {
		return true
	}
	for _, b := range o.builds {
		if b.name == name {
			return true
		}
	}
	for _, g := range o.others {
		if g.name == name {
			return true
		}
	}
	return false
}

// each sets something of the other gateway that is named before a "=", or of all named so far.
func (o *options) each(set func(*other, string)) func(string) error {
	return func(s string) error {
		if len(o.others) == 0 {
			return errors.New("stands before any --against")
		}
		for _, g := range o.others {
			if v, ok := strings.CutPrefix(s, g.name+"="); ok {
				set(g, v)
				return nil
			}
		}
		for _, g := range o.others {
			set(g, s)
		}
		return nil
	}
}

var targetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,30}$`)

func isTargetName(s string) bool { return targetName.MatchString(s) }
