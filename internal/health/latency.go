package health

import (
	"math"
	"sync"
	"sync/atomic"
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
	name    config.ProviderName
	byModel atomic.Bool // its rate limits count per model
	mu      sync.Mutex
	models  map[string]*latencies
}

// latencies are a model's: the first token of a stream and the end of a whole answer have nothing to do with each other.
type latencies struct{ ttft, whole latency }

// latency is a decaying mean.
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

func (l *latency) add(d time.Duration, now time.Time, halfLife time.Duration) {
	if d <= 0 {
		return
	}
	l.decay(now, halfLife)
	l.sum += d.Seconds()
	l.n++
}

func (l *latency) known(now time.Time, halfLife time.Duration) bool {
	l.decay(now, halfLife)
	return l.n >= forgotten
}

func (l *latency) mean() time.Duration { return time.Duration(l.sum / l.n * float64(time.Second)) }

// observe adds one success's times.
func (p *provider) observe(o *Outcome, now time.Time, halfLife time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.models[o.Model]
	if l == nil {
		if len(p.models) >= maxModels && !p.forget(now, halfLife) {
			return
		}
		l = &latencies{ttft: latency{at: now}, whole: latency{at: now}}
		p.models[o.Model] = l
	}
	l.ttft.add(o.TTFT, now, halfLife)
	l.whole.add(o.Whole, now, halfLife)
}

// forget drops the models that have not been heard of for long. It says whether there is room now.
func (p *provider) forget(now time.Time, halfLife time.Duration) bool {
	for name, l := range p.models {
		if !l.ttft.known(now, halfLife) && !l.whole.known(now, halfLife) {
			delete(p.models, name)
		}
	}
	return len(p.models) < maxModels
}

// collect writes the known latencies into a view.
func (p *provider) collect(v *View, now time.Time, halfLife time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, l := range p.models {
		key, ttft, whole := modelKey{p.name, name}, l.ttft.known(now, halfLife), l.whole.known(now, halfLife)
		if ttft {
			v.ttft[key] = l.ttft.mean()
		}
		if whole {
			v.whole[key] = l.whole.mean()
		}
		if !ttft && !whole {
			delete(p.models, name)
		}
	}
}
