package config

import (
	"net/url"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// globalLevel is the level of all callers together.
const globalLevel = "global"

// Quota says how limits and budgets are counted.
type Quota struct {
	Redis       bool // in Redis, else in process
	Closed      bool // limited requests are refused while Redis is away
	Grace       float64
	Lease       time.Duration
	Chunk       float64 // part of a limit that is drawn at a time
	LocalLeases bool
	MinOutput   int64
	Webhook     Webhook
}

// Webhook is told of budgets.
type Webhook struct {
	URL     string // "": nobody is told
	Secret  Secret
	Timeout time.Duration
	Retries int
	Queue   int
}

// Same says whether o does the same, so that what waits in its queue can be left there over a reload.
func (w *Webhook) Same(o *Webhook) bool { return *w == *o }

// quotaDefaults fill in what the quota leaves out.
func quotaDefaults(cfg *dragomanv1.Config) {
	q := orNew(cfg.Quota)
	cfg.Quota = q
	store := "memory"
	if cfg.GetStore().GetRedis() != nil {
		store = "redis"
	}
	q.Store = or(q.Store, store)
	q.WhenAway = or(q.WhenAway, "open")
	q.Grace = orPointer(q.Grace, 1)
	q.Lease = orDuration(q.Lease, cfg.Retry.Timeout.AsDuration()+time.Minute)
	q.Chunk = orPointer(q.Chunk, 2)
	q.MinOutput = orPointer(q.MinOutput, 64)
	if w := q.Webhook; w != nil {
		w.Timeout = orDuration(w.Timeout, 5*time.Second)
		w.Retries = or(w.Retries, 4)
		w.Queue = or(w.Queue, 1000)
	}
}

// quota compiles quota.
func (b *builder) quota() {
	q := b.cfg.Quota
	out := Quota{Redis: q.Store == "redis", Closed: q.WhenAway == "closed", Grace: q.GetGrace() / 100, Lease: q.Lease.AsDuration(),
		Chunk: q.GetChunk() / 100, LocalLeases: q.LocalLeases, MinOutput: int64(q.GetMinOutput())}
	if out.Redis && b.cfg.GetStore().GetRedis() == nil {
		b.fail("quota.store", "is redis, but store.redis is absent")
	}
	if out.LocalLeases && !out.Redis {
		b.fail("quota.local_leases", "are drawn from Redis: store.redis is absent, or quota.store is memory")
	}
	if w := q.Webhook; w != nil {
		out.Webhook = b.webhook(w)
	}
	b.snap.Quota = out
}

func (b *builder) webhook(w *dragomanv1.Webhook) Webhook {
	const path = "quota.webhook"
	out := Webhook{URL: w.Url, Timeout: w.Timeout.AsDuration(), Retries: int(w.Retries), Queue: int(w.Queue)}
	switch {
	case w.Url != "" && w.UrlFrom != nil:
		b.fail(path+".url", "and url_from exclude each other")
	case w.Url == "" && w.UrlFrom == nil:
		b.fail(path+".url", "is missing: https://HOST/PATH")
		return out
	case w.UrlFrom != nil:
		s := b.secret(path+".url_from", w.UrlFrom)
		if out.URL = s.Reveal(); out.URL == "" {
			return out // noted
		}
	}
	if u, err := url.Parse(out.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		b.fail(path+".url", "must be a URL of http or https") // what it is stays unsaid: it may be secret
	}
	if w.Secret != nil {
		out.Secret = b.secret(path+".secret", w.Secret)
	}
	return out
}

// worsts notes for each route what its requests can cost.
func (b *builder) worsts() {
	for _, r := range b.snap.lookup {
		r.Worst = WorstOf(r.Candidates)
	}
}
