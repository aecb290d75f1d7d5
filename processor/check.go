package processor

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/health"
	"dragoman/internal/wiring"
	"dragoman/processor/route"
	"dragoman/translate/anthropic"
	"dragoman/translate/chat"
)

// Active checks go the way of any request: through Envoy's loopback listener to the one cluster, which adds its own credential. Envoy's own
// health checks could not: what they send is written in the cluster's configuration, where a key would be for all to read, and they know no
// tokens and no signatures. How a check ends is reported as any attempt's end is.

const (
	// checkPath is the path of checks on the loopback listener; what follows is the cluster's name, escaped.
	checkPath = "/dragoman/check/"
	// checkEvery is how often is looked whether one is due.
	checkEvery = 50 * time.Millisecond
	// maxChecks bounds the checks at a time.
	maxChecks = 32
)

// findCheck is the endpoint of checks, for the gateway's own requests alone.
func (ex *Exchange) findCheck(r incoming) *endpoint {
	name, ok := strings.CutPrefix(r.path, checkPath)
	if !ok || r.method != http.MethodGet || !ex.own(r.credentials) {
		return nil
	}
	cluster, err := url.PathUnescape(name)
	if err != nil {
		return nil
	}
	ex.objectID = cluster
	return &endpoint{path: checkPath, method: http.MethodGet, op: opCheck, client: openaiCodec}
}

// orderCheck sends a check to its cluster.
func (ex *Exchange) orderCheck() error {
	c := ex.snap.Cluster(config.ClusterName(ex.objectID))
	if c == nil || c.Provider.Check == nil {
		return ex.refuse(fault.New(fault.NotFound, "There is no such cluster to check."))
	}
	ex.head = &chat.Head{Schema: chat.OpenAI, N: 1}
	ex.asked, ex.route = ex.head, "check"
	ex.decision = &route.Decision{Route: ex.route, Plan: []route.Step{{
		Group: string(c.Name), Provider: c.Provider, Cluster: c, Model: &config.Model{Provider: c.Provider},
	}}}
	h := newHeaders()
	h.set(":path", c.Provider.BasePath+c.Provider.Check.Path)
	if c.Provider.Schema == chat.Anthropic {
		h.set("anthropic-version", anthropic.Version)
	}
	within := strconv.FormatInt(c.Provider.Check.Timeout.Milliseconds(), 10)
	h.set(wiring.HeaderTotalTimeout, within)
	h.set(wiring.HeaderTryTimeout, within)
	return ex.orderPass(&h, "1")
}

// endCheck reports what the response's headers say; nobody wants its body. Failures come by the access log, as all do.
func (ex *Exchange) endCheck() error {
	if ex.ok() && ex.cluster != nil {
		ex.s.Health.Report(health.Outcome{Cluster: ex.cluster.Name, Class: health.Success, Status: ex.status, Check: true})
	}
	h := newHeaders()
	return ex.answerAtOnce(http.StatusOK, &h, nil)
}

// RunChecks makes the configured checks until ctx ends.
func (s *Server) RunChecks(ctx context.Context) {
	if s.Loopback == nil {
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	due, room := map[config.ClusterName]time.Time{}, make(chan struct{}, maxChecks)
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, c := range dueChecks(s.Config(), due, s.Now(), s.Random) {
			select {
			case room <- struct{}{}:
			default:
				continue // the next look finds it
			}
			due[c.Name] = s.Now().Add(c.Provider.Check.Interval)
			running.Go(func() {
				defer func() { <-room }()
				s.check(ctx, c)
			})
		}
	}
}

// dueChecks lists the clusters whose time has come. The first check of each is at a moment of its own within the interval, so that many
// do not come together.
func dueChecks(snap *config.Snapshot, due map[config.ClusterName]time.Time, now time.Time, random func() float64) (list []*config.Cluster) {
	known := 0
	for _, c := range snap.Clusters {
		if c.Provider.Check == nil {
			continue
		}
		known++
		at, ok := due[c.Name]
		switch {
		case !ok:
			due[c.Name] = now.Add(time.Duration(random() * float64(c.Provider.Check.Interval)))
		case !now.Before(at):
			list = append(list, c)
		}
	}
	if len(due) > 2*known+16 { // of configurations that are gone
		for name := range due {
			if c := snap.Cluster(name); c == nil || c.Provider.Check == nil {
				delete(due, name)
			}
		}
	}
	return list
}

func (s *Server) check(ctx context.Context, c *config.Cluster) {
	ctx, cancel := context.WithTimeout(ctx, c.Provider.Check.Timeout+5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dragoman"+checkPath+url.PathEscape(string(c.Name)), nil)
	if err != nil {
		return
	}
	req.Header.Set("authorization", "Bearer "+s.OwnKey)
	resp, err := s.Loopback.RoundTrip(req)
	if err != nil {
		s.Log.Debug("a check could not be made", "cluster", string(c.Name), "error", err)
		return
	}
	_ = resp.Body.Close()
}
