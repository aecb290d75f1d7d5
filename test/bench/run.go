package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"dragoman/envoy/process"
	"dragoman/test/redisserver"
)

// Names of the two targets that everything is compared with.
const (
	targetDirect = "direct"
	targetPlain  = "envoy"
)

// Names of processes in the results.
const (
	processEnvoy    = "envoy"
	processDragoman = "dragoman"
	processEmbedder = "embedder"
	processRedis    = "redis"
	processProvider = "provider"
)

// run is what one benchmark has started.
type run struct {
	o        *options
	out      io.Writer // progress
	dir      string    // logs and configurations
	provider *child
	at       providerAddresses
	plain    *process.Process
	plainAt  string                // address of its listener
	redis    *redisserver.Server   // started for the first case that needs it
	gateways map[string][]*gateway // every build, by kase.setup: with a cache, no other case would reach its provider
}

// part is one case with the targets that it is measured on.
type part struct {
	of      *kase
	targets []target
	cells   []*cell
}

// target is one way from the client to the provider.
type target struct {
	name      string
	call      *call
	processes map[string][]int // whose CPU the target costs, by name
}

const startTimeout = 30 * time.Second

// benchmark runs the cases one after the other. Everything that it started has ended when it returns.
func benchmark(ctx context.Context, o *options, stdout, stderr io.Writer) (err error) {
	r := &run{o: o, out: stderr, gateways: map[string][]*gateway{}}
	if r.dir, err = os.MkdirTemp("", "dragoman-bench-"); err != nil {
		return err
	}
	defer func() {
		failed := err != nil && ctx.Err() == nil
		if failed {
			r.showLogs(stderr)
			err = fmt.Errorf("%w\n(logs and configurations are kept in %s)", err, r.dir)
		}
		r.stop()
		if !failed {
			os.RemoveAll(r.dir)
		}
	}()
	if err := r.start(ctx); err != nil {
		return interrupted(ctx, err)
	}
	rep, err := r.all(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	rep.print(stdout)
	if o.json != "" {
		if err := rep.write(o.json); err != nil {
			return err
		}
	}
	return rep.failure()
}

// interrupted puts the reason of a run that was broken off in place of what it broke.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// start starts what all cases share.
func (r *run) start(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if r.provider, r.at, err = startProvider(r.dir, r.o.provider, r.o.pace); err != nil {
		return err
	}
	r.plain, r.plainAt, err = startPlainEnvoy(ctx, r.dir, r.o.envoy, r.o.workers, r.at)
	return err
}

// stop ends everything, in the order of the requests' way.
func (r *run) stop() {
	for g := range r.running() {
		g.stop()
	}
	if r.redis != nil {
		r.redis.Stop()
	}
	if r.plain != nil {
		r.plain.Stop(context.Background(), 0)
	}
	if r.provider != nil {
		r.provider.stop()
	}
}

func (r *run) showLogs(w io.Writer) {
	for g := range r.running() {
		fmt.Fprint(w, tail(g.log), tail(filepath.Join(r.dir, g.name, "envoy.log")))
	}
	if r.plain != nil {
		fmt.Fprintf(w, "--- the plain Envoy's log ends:\n%s\n", r.plain.Tail())
	}
	if r.provider != nil {
		fmt.Fprint(w, tail(r.provider.log))
	}
}

// running are all gateways that were started.
func (r *run) running() iter.Seq[*gateway] {
	return func(yield func(*gateway) bool) {
		for _, list := range r.gateways {
			for _, g := range list {
				if !yield(g) {
					return
				}
			}
		}
	}
}

// all measures the selected cases. Cases and targets take turns within a round, so that what else the machine does falls on
// all alike.
func (r *run) all(ctx context.Context) (*report, error) {
	parts, err := r.parts(ctx)
	if err != nil {
		return nil, err
	}
	l := load{clients: r.o.concurrency, warmUp: r.o.warmUp, duration: r.o.duration / time.Duration(r.o.rounds)}
	for n := range r.o.rounds {
		fmt.Fprintf(r.out, "round %d of %d\n", n+1, r.o.rounds)
		for _, p := range parts {
			if err := r.round(ctx, l, p); err != nil {
				return nil, err
			}
		}
	}
	rep := newReport(r.o, r.plain.Version)
	for _, p := range parts {
		rep.add(p.of.name, p.cells)
	}
	return rep, nil
}

// parts are the selected cases, their targets started and answering right.
func (r *run) parts(ctx context.Context) ([]*part, error) {
	var parts []*part
	for _, k := range r.o.selected() {
		if err := r.startGateways(ctx, k.setup()); err != nil {
			return nil, err
		}
		p := &part{of: k, targets: r.targets(k)}
		for i := range p.targets {
			if err := r.prime(ctx, k, &p.targets[i]); err != nil {
				return nil, err
			}
			p.cells = append(p.cells, newCell(p.targets[i].name))
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// round measures each target of a case once.
func (r *run) round(ctx context.Context, l load, p *part) error {
	if p.of.alone {
		l.clients = 1
	}
	for i := range p.targets {
		s, err := l.measure(ctx, p.targets[i].call, p.targets[i].processes)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = r.alive()
		}
		if err != nil {
			return fmt.Errorf("%s through %s: %w", p.of.name, p.targets[i].name, err)
		}
		p.cells[i].rounds = append(p.cells[i].rounds, s)
	}
	return nil
}

// startGateways starts the builds of Dragoman in a setup, once.
func (r *run) startGateways(ctx context.Context, setup string) error {
	if len(r.gateways[setup]) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	redis, err := r.redisFor(setup)
	if err != nil {
		return err
	}
	for _, b := range r.o.builds {
		g, err := startDragoman(ctx, r.o, b.name+setup, b.path, r.dir, r.at, setup, redis)
		if err != nil {
			return err
		}
		r.gateways[setup] = append(r.gateways[setup], g)
	}
	return nil
}

// redisFor is the address of the Redis that a setup needs, "" for none.
func (r *run) redisFor(setup string) (address string, err error) {
	if !callers(setup).inRedis() || len(r.o.builds) == 0 {
		return "", nil
	}
	if r.redis == nil {
		if r.redis, err = redisserver.New(r.dir); err != nil {
			return "", fmt.Errorf("no Redis for what is counted in one (make redis fetches it; --cases leaves it out): %w", err)
		}
	}
	return r.redis.Addr, nil
}

// targets are the ways that a case is measured on.
func (r *run) targets(k *kase) []target {
	list := []target{
		{targetDirect, k.provider(r.at.Up), nil},
		{targetPlain, k.provider(r.plainAt), map[string][]int{processEnvoy: {r.plain.PID()}}},
	}
	if k.caller != "" { // what the caller is makes no difference to them
		list = nil
	}
	for i, g := range r.gateways[k.setup()] {
		c := k.gateway(g.address, "/v1/chat/completions", k.model())
		switch {
		case k.caller.governed():
			c.want.header = "x-ratelimit-remaining-tokens: "
		case k.semantic:
			c.want.header = "x-dragoman-cache: semantic; "
		case k.cached:
			c.want.header = "x-dragoman-cache: hit"
		case k.failover:
			c.want.header = "x-dragoman-attempts: 2"
		}
		list = append(list, target{r.o.builds[i].name, c, map[string][]int{processEnvoy: {g.envoy.pid}, processDragoman: {g.pid()}}})
		if k.semantic {
			list[len(list)-1].processes[processEmbedder] = nil // it starts when it is needed: see prime
		}
		if k.caller.inRedis() {
			list[len(list)-1].processes[processRedis] = []int{r.redis.PID()}
		}
	}
	for _, g := range r.o.others {
		if c := g.call(k); c != nil {
			list = append(list, target{g.name, c, map[string][]int{g.name: g.pids}})
		}
	}
	for i := range list {
		all := map[string][]int{processProvider: {r.provider.pid()}}
		for name, pids := range list[i].processes {
			all[name] = pids
		}
		list[i].processes = all
	}
	return list
}

// call is how another gateway is asked, nil for what it cannot do as it was started.
func (g *other) call(k *kase) *call {
	model := g.model
	switch {
	case k.cached || k.failover || k.caller != "":
		return nil
	case k.translated && g.translated == "":
		return nil
	case k.translated:
		model = g.translated
	}
	var headers []string
	if g.key != "" {
		headers = append(headers, "authorization: Bearer "+g.key)
	}
	return k.gateway(g.address, g.path+"/chat/completions", model, headers...)
}

// prime asks until the answer is right: the gateway has its configuration then, and the cache what it is asked for.
func (r *run) prime(ctx context.Context, k *kase, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout/3)
	defer cancel()
	deadline, _ := ctx.Deadline()
	c := &client{call: t.call, deadline: deadline}
	defer c.close()
	n := 0
	return poll(ctx, k.name+" through "+t.name, r.alive, func() error {
		if k.semantic && t.call.want.header != "" {
			if err := r.primeQuestion(ctx, k, t, n, deadline); err != nil {
				return err
			}
			n++
		}
		answer, err := c.ask(ctx)
		if err == nil && !answer.meant {
			err = fmt.Errorf("the answer has no header %q", t.call.want.header)
		}
		return err
	})
}

// primeQuestion stores the answer to a new question, so that the target can ask it in other words. One that was asked before the embedder
// was ready is of no use: its answer is stored without its vector, and so is that of the other words.
func (r *run) primeQuestion(ctx context.Context, k *kase, t *target, n int, deadline time.Time) error {
	one := *t.call
	one.want.header = ""
	one.request = post(one.address, "/v1/chat/completions", nil, questionBody(k.model(), storedQuestion, n))
	c := &client{call: &one, deadline: deadline}
	defer c.close()
	if _, err := c.ask(ctx); err != nil {
		return err
	}
	wait(ctx, 100*time.Millisecond) // it is stored after it is answered
	t.call.request = post(one.address, "/v1/chat/completions", nil, questionBody(k.model(), askedQuestion, n))
	helper, err := childNamed("/proc", t.processes[processDragoman][0], helperName)
	if err != nil {
		return err
	}
	t.processes[processEmbedder] = []int{helper.pid}
	return nil
}

// alive is an error when something that was started has ended.
func (r *run) alive() error {
	for g := range r.running() {
		if err := g.ended(); err != nil {
			return err
		}
	}
	select {
	case <-r.plain.Done():
		return r.plain.Err()
	default:
		return r.provider.ended()
	}
}
