package app

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/embed"
	"dragoman/internal/store/redis"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
)

// semanticTier is the tier in force with what it works by.
type semanticTier struct {
	tier     *semantic.Tier // nil: off
	embedder interface {
		Close()
		Status() embed.Status
	}
	problem string // why it is off although it is configured
}

// semanticStatus is what /status shows of the tier.
type semanticStatus struct {
	On       bool         `json:"on"`
	Problem  string       `json:"problem,omitempty"`
	Embedder embed.Status `json:"embedder"`
}

func (t *semanticTier) status() *semanticStatus {
	if t.tier == nil && t.problem == "" {
		return nil
	}
	s := &semanticStatus{On: t.tier != nil, Problem: t.problem}
	if t.embedder != nil {
		s.Embedder = t.embedder.Status()
	}
	return s
}

// setSemantic makes the semantic tier. fresh says that Redis, or the exact tier which holds its answers, is another than before.
func (a *App) setSemantic(old, snap *config.Snapshot, fresh bool) {
	if old != nil && sameSemantic(old, snap) && !fresh {
		return
	}
	next := &semanticTier{}
	if snap.Semantic.On {
		next = a.newSemantic(snap)
	}
	if next.problem != "" {
		a.log.Warn("the semantic tier of the cache is off", "reason", next.problem)
	}
	if last := a.semantic.Swap(next); last != nil && last.embedder != nil {
		go last.embedder.Close() // it waits for what is under way
	}
}

func sameSemantic(old, snap *config.Snapshot) bool {
	return old.Config.GetCache().GetSemantic().String() == snap.Config.GetCache().GetSemantic().String() && old.Loopback == snap.Loopback
}

func (a *App) newSemantic(snap *config.Snapshot) *semanticTier {
	s := snap.Semantic
	o := semantic.Options{Config: s, Answers: a.cache.Load().backend, Now: time.Now}
	out := &semanticTier{}
	if s.Local != nil {
		local, err := a.localEmbedder(s.Local)
		if err != nil {
			out.problem = err.Error()
			return out
		}
		o.Embedder, o.Space, out.embedder = local, "all-MiniLM-L6-v2", local
	} else {
		endpoint := a.endpointEmbedder(snap)
		o.Embedder, o.Space, out.embedder = endpoint, string(s.Endpoint.Provider.Name)+"/"+s.Endpoint.Model, endpoint
	}
	if s.Redis && a.redis != nil {
		o.Index = redis.NewSemantic(a.redis, redis.SemanticOptions{MaxEntries: s.MaxEntries, TTL: s.TTL}, time.Now)
	} else {
		o.Index = semantic.NewMemory(semantic.MemoryOptions{MaxEntries: s.MaxEntries, MaxBytes: s.MaxBytes, TTL: s.TTL, Now: time.Now})
	}
	out.tier = semantic.New(o)
	return out
}

func (a *App) localEmbedder(l *config.LocalEmbedder) (*embed.Local, error) {
	folder, err := embed.Find(l.Path, a.o.LookupEnv)
	if err != nil {
		return nil, err
	}
	workers := l.Workers
	if workers == 0 {
		workers = max(1, runtime.NumCPU()/2)
	}
	return embed.NewLocal(embed.LocalOptions{Folder: folder, Workers: workers, Log: a.log})
}

// endpointEmbedder asks a provider by way of Envoy, which has its credential, as a caller of the gateway's own.
func (a *App) endpointEmbedder(snap *config.Snapshot) *embed.Endpoint {
	e := snap.Semantic.Endpoint
	network, address := "tcp", snap.Loopback
	if path, ok := strings.CutPrefix(snap.Loopback, "unix://"); ok {
		network, address = "unix", path
	}
	dialer := net.Dialer{Timeout: time.Second}
	return embed.NewEndpoint(embed.EndpointOptions{
		URL: "http://dragoman/v1/embeddings", Model: string(e.Provider.Name) + "/" + e.Model, Dimensions: e.Dimensions,
		Header: map[string]string{"authorization": "Bearer " + a.ownKey},
		Client: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
		}},
	})
}

// semanticTierAdmin is the tier, for operators.
func (a *App) semanticTierAdmin() []cache.Admin {
	if t := a.semantic.Load(); t != nil && t.tier != nil {
		return []cache.Admin{t.tier}
	}
	return nil
}
