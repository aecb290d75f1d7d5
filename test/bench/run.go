package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"dragoman/envoy/process"
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
	plainAt  string // address of its listener
	gateways []*gateway
	cached   bool // how the gateways are configured
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
	r := &run{o: o, out: stderr}
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
	r.stopGateways()
	if r.plain != nil {
		r.plain.Stop(context.Background(), 0)
	}
	if r.provider != nil {
		r.provider.stop()
	}
}

func (r *run) stopGateways() {
	for _, g := range r.gateways {
		g.stop()
	}
	r.gateways = nil
}

func (r *run) showLogs(w io.Writer) {
	for _, g := range r.gateways {
		fmt.Fprint(w, tail(g.log), tail(filepath.Join(r.dir, g.name, "envoy.log")))
	}
	if r.plain != nil {
		fmt.Fprintf(w, "--- the plain Envoy's log ends:\n%s\n", r.plain.Tail())
	}
	if r.provider != nil {
		fmt.Fprint(w, tail(r.provider.log))
	}
}

// all measures the selected cases.
func (r *run) all(ctx context.Context) (*report, error) {
	rep := newReport(r.o, r.plain.Version)
	for _, k := range r.o.selected() {
		if err := r.configure(ctx, k.cached); err != nil {
			return nil, err
		}
		targets := r.targets(k)
		for i := range targets {
			if err := r.prime(ctx, k, &targets[i]); err != nil {
				return nil, err
			}
		}
		cells, err := r.rounds(ctx, k, targets)
		if err != nil {
			return nil, err
		}
		rep.add(k.name, cells)
	}
	return rep, nil
}

// configure starts the builds of Dragoman, anew when the case needs another configuration: with a cache, no other case
// would reach its provider.
func (r *run) configure(ctx context.Context, cached bool) error {
	if len(r.gateways) > 0 && r.cached == cached {
		return nil
	}
	r.stopGateways()
	r.cached = cached
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, b := range r.o.builds {
		g, err := startDragoman(ctx, r.o, b.name, b.path, r.dir, r.at, cached)
		if err != nil {
			return err
		}
		r.gateways = append(r.gateways, g)
	}
	return nil
}

// targets are the ways that a case is measured on.
func (r *run) targets(k *kase) []target {
	list := []target{
		{targetDirect, k.provider(r.at.Up), nil},
		{targetPlain, k.provider(r.plainAt), map[string][]int{processEnvoy: {r.plain.PID()}}},
	}
	for _, g := range r.gateways {
		c := k.gateway(g.address, "/v1/chat/completions", k.model())
		switch {
		case k.cached:
			c.want.header = "x-dragoman-cache: hit"
		case k.failover:
			c.want.header = "x-dragoman-attempts: 2"
		}
		list = append(list, target{g.name, c, map[string][]int{processEnvoy: {g.envoy.pid}, processDragoman: {g.pid()}}})
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
	case k.cached || k.failover:
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
	return poll(ctx, k.name+" through "+t.name, r.alive, func() error {
		answer, err := c.ask(ctx)
		if err == nil && !answer.meant {
			err = fmt.Errorf("the answer has no header %q", t.call.want.header)
		}
		return err
	})
}

// alive is an error when something that was started has ended.
func (r *run) alive() error {
	for _, g := range r.gateways {
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

// rounds lets the targets of a case take turns, so that what else the machine does falls on all alike.
func (r *run) rounds(ctx context.Context, k *kase, targets []target) ([]*cell, error) {
	l := load{clients: r.o.concurrency, warmUp: r.o.warmUp, duration: r.o.duration / time.Duration(r.o.rounds)}
	cells := make([]*cell, len(targets))
	for i := range targets {
		cells[i] = newCell(targets[i].name)
	}
	fmt.Fprintf(r.out, "%s: %d rounds of %d targets\n", k.name, r.o.rounds, len(targets))
	for range r.o.rounds {
		for i := range targets {
			s, err := l.measure(ctx, targets[i].call, targets[i].processes)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil {
				err = r.alive()
			}
			if err != nil {
				return nil, fmt.Errorf("%s through %s: %w", k.name, targets[i].name, err)
			}
			cells[i].rounds = append(cells[i].rounds, s)
		}
	}
	return cells, nil
}
