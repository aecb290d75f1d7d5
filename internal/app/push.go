package app

import (
	"context"
	"slices"
	"time"

	"dragoman/internal/config"
	"dragoman/xds"
)

// apply brings a new configuration into force: logs and limits at once, Envoy's part in the background.
func (a *App) apply(old, snap *config.Snapshot) {
	a.level.Set(levelOf(snap))
	a.tracker.SetSettings(snap.Health)
	select {
	case a.changed <- struct{}{}:
	default: // a push is due already, and will take the newest
	}
}

// pushLoop is the only writer of Envoy's resources: a new configuration, new weights, or the end of an old
// configuration's grace makes it build and push again.
func (a *App) pushLoop(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		again := true
		select {
		case <-ctx.Done():
			return
		case <-a.changed:
		case <-tick.C:
		case <-a.tracker.Changes():
			again = false
		case <-a.tokens.Changes():
			again = false
		}
		a.push(ctx, again)
	}
}

// push builds the resources of the newest configuration and health and gives them to Envoy. Requests are ordered by a new
// configuration only once Envoy has its groups: an order that names a group Envoy does not know would fail. When Envoy refuses
// the new resources, or they cannot be built, the last good configuration stays in force; again says whether one that was
// refused is to be tried once more.
func (a *App) push(ctx context.Context, again bool) {
	snap, serving := a.store.Current(), a.serving.Load()
	if a.refused.Load() != nil && !again {
		snap = serving
	}
	if snap != serving {
		a.tracker.SetClusters(union(snap, serving))
	}
	if err := a.set(snap, serving); err != nil {
		a.refuse(err)
		a.log.Error("the configuration cannot be expressed for Envoy; the last good one stays in force", "version", snap.Version, "error", err)
		return
	}
	if snap == serving {
		if again {
			a.refused.Store(nil)
		}
		return
	}
	if err := a.waitApplied(ctx); err != nil {
		a.refuse(err)
		a.log.Error("Envoy did not take the new configuration; the last good one stays in force", "version", snap.Version, "error", err)
		if err := a.set(serving, serving); err != nil {
			a.log.Error("the last good configuration could not be pushed again", "error", err)
		}
		return
	}
	a.retire(serving)
	a.setStores(serving, snap)
	a.warnBook(serving, snap)
	a.warnKeys(serving, snap)
	a.setFetcher(snap)
	a.serving.Store(snap)
	a.refused.Store(nil)
	a.tracker.SetClusters(snap.Clusters)
	a.log.Info("configuration applied", "version", snap.Version, "source", snap.Source)
	for _, w := range snap.Warnings {
		a.log.Warn(w)
	}
}

// refuse keeps for /status why the newest configuration is not in force.
func (a *App) refuse(err error) {
	why := err.Error()
	a.refused.Store(&why)
}

// set pushes a configuration's resources with today's weights. Clusters of configurations that requests in flight may still
// go by stay until their grace is over.
func (a *App) set(snap, serving *config.Snapshot) error {
	p := xds.Params{SystemRoots: xds.SystemRoots(), Previous: a.graced(snap, serving)}
	p.Tokens = a.useCredentials(snap, p.Previous)
	r, err := a.build(snap, p)
	if err != nil {
		return err
	}
	if err := a.xds.Set(r); err != nil {
		return err
	}
	a.built = built{snap, p.Previous, p.Tokens, r}
	a.metrics.XDSPushed(r.Version)
	return nil
}

// build makes everything anew only for another configuration: new weights change the routes alone.
func (a *App) build(snap *config.Snapshot, p xds.Params) (*xds.Resources, error) {
	if last := a.built; last.resources != nil && last.snap == snap && slices.Equal(last.previous, p.Previous) && last.sameTokens(p.Tokens) {
		return last.resources.Reweigh(snap, a.tracker.View(), p)
	}
	return xds.Build(snap, a.tracker.View(), p)
}

// built is what was pushed last, and what from.
type built struct {
	snap      *config.Snapshot
	previous  []*config.Snapshot
	tokens    map[string]string
	resources *xds.Resources
}

// maxRetired bounds how many configurations are kept for requests in flight, for a file that changes all the time.
const maxRetired = 64

// retire keeps a configuration's clusters for as long as a request ordered by it can take.
func (a *App) retire(snap *config.Snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.previous = append(a.previous, retired{snap, time.Now().Add(snap.MostRetry().Timeout + time.Minute)})
	if extra := len(a.previous) - maxRetired; extra > 0 {
		a.previous = slices.Delete(a.previous, 0, extra)
	}
}

// graced lists the configurations other than snap that a request in flight may have been ordered by.
func (a *App) graced(snap, serving *config.Snapshot) []*config.Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []*config.Snapshot
	if serving != nil && serving != snap {
		list = append(list, serving)
	}
	kept := a.previous[:0]
	for _, p := range a.previous {
		if time.Now().Before(p.until) {
			kept = append(kept, p)
			list = append(list, p.snap)
		}
	}
	a.previous = kept
	return list
}

// union lists the clusters of two configurations, so that neither's health is forgotten while both are in use.
func union(a, b *config.Snapshot) []*config.Cluster {
	all := append([]*config.Cluster(nil), a.Clusters...)
	for _, c := range b.Clusters {
		if a.Cluster(c.Name) == nil {
			all = append(all, c)
		}
	}
	return all
}
