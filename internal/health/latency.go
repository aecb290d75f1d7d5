package health

import (
	"math"
	"sync"
	"time"

	"dragoman/internal/config"
)

const (
	// latencySpan is how many half-lives of the health settings make one of the latency's. Latency is an average and may
	// be slower than the news that a cluster is down.
	latencySpan = 6
	// forgotten is the decayed number of samples below which a latency counts as unknown, so that a model that was slow
	// once, and is not asked since, is tried again.
	forgotten = 0.05
	// maxModels bounds the models remembered of one provider: a server that answers to any name would otherwise let
	// clients fill the memory.
	maxModels = 512
)

// provider holds what is known per model of a provider, all its clusters together.
type provider struct {
	name   config.ProviderName
	mu     sync.Mutex
	models map[string]*latency
}

// latency is a decaying mean of the times to the first token.
type latency struct {
	sum, n float64 // seconds and samples, decayed to at
	at     time.Time
}

func (l *latency) decay(now time.Time, halfLife time.Duration) {
	if dt := now.Sub(l.at); dt > 0 {
		f := math.Exp2(-float64(dt) / float64(latencySpan*halfLife))
		l.sum, l.n, l.at = l.sum*f, l.n*f, now
	}
}

// observe adds one sample.
func (p *provider) observe(model string, ttft time.Duration, now time.Time, halfLife time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.models[model]
	if l == nil {
		if len(p.models) >= maxModels && !p.forget(now, halfLife) {
			return
		}
		l = &latency{at: now}
		p.models[model] = l
	}
	l.decay(now, halfLife)
	l.sum += ttft.Seconds()
	l.n++
}

// forget drops the models that have not been heard of for long. It says whether there is room now.
func (p *provider) forget(now time.Time, halfLife time.Duration) bool {
	for name, l := range p.models {
		if l.decay(now, halfLife); l.n < forgotten {
			delete(p.models, name)
		}
	}
	return len(p.models) < maxModels
}

// collect writes the known latencies into a view's map.
func (p *provider) collect(into map[modelKey]time.Duration, now time.Time, halfLife time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, l := range p.models {
		if l.decay(now, halfLife); l.n < forgotten {
			delete(p.models, name)
			continue
		}
		into[modelKey{p.name, name}] = time.Duration(l.sum / l.n * float64(time.Second))
	}
}
