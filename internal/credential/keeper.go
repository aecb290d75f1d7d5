// Package credential gets the bearer tokens that some providers want instead of a key (Google Cloud, Microsoft Entra ID) and gets new
// ones before they expire. What it has goes to Envoy over SDS; no request waits for it.
package credential

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"dragoman/internal/config"
)

// Token is a bearer token and when it ends.
type Token struct {
	Value   string
	Expires time.Time
}

// Source asks for one new token. Its errors hold no secret.
type Source func(context.Context) (Token, error)

const (
	// margin before its end is when a token is replaced at the latest, while it lives at least twice as long: what a request in flight may
	// need, and many retries.
	margin = 5 * time.Minute
	// patience bounds one request for a token.
	patience = 20 * time.Second
	// Failures are tried again after firstPause, twice as long each time, at most lastPause. A source that keeps tokens of its own may give
	// the same one again; then lastPause counts too.
	firstPause = time.Second
	lastPause  = time.Minute
)

// Options of a Keeper. The zero value of each but Log is a sensible default.
type Options struct {
	Log    *slog.Logger
	Source func(*config.Grant) Source // default Open
	Now    func() time.Time
	Random func() float64 // 0 to 1, spreads the pauses of many processes
	// Report is told of each try: the credential's name and the end of the token that is held now (zero for none). It must be quick.
	Report func(name string, expires time.Time, err error)
}

// Keeper holds one token for each grant that is in use. It is safe for concurrent use.
type Keeper struct {
	o       Options
	changes chan struct{}

	mu      sync.Mutex // guards what follows
	ctx     context.Context
	entries map[string]*entry
	done    sync.WaitGroup
}

type entry struct {
	name   string // of the credential, for people
	grant  *config.Grant
	stop   context.CancelFunc
	token  Token
	failed int
	reason string // of the last failure
}

// New makes a Keeper that holds nothing yet. Its work ends with ctx; Wait waits for that.
func New(ctx context.Context, o Options) *Keeper {
	if o.Source == nil {
		o.Source = Open
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0.5 }
	}
	if o.Report == nil {
		o.Report = func(string, time.Time, error) {}
	}
	return &Keeper{o: o, ctx: ctx, changes: make(chan struct{}, 1), entries: map[string]*entry{}}
}

// Use makes the grants of these clusters the ones that tokens are held for: new ones are asked for in the background, those that no cluster
// has any more are forgotten.
func (k *Keeper) Use(clusters []*config.Cluster) {
	k.mu.Lock()
	defer k.mu.Unlock()
	wanted := map[string]bool{}
	for _, c := range clusters {
		if c.Grant == nil || wanted[c.Grant.ID] {
			continue
		}
		wanted[c.Grant.ID] = true
		if k.entries[c.Grant.ID] == nil {
			k.start(c)
		}
	}
	for id, e := range k.entries {
		if !wanted[id] {
			e.stop()
			delete(k.entries, id)
		}
	}
}

// start runs under the lock.
func (k *Keeper) start(c *config.Cluster) {
	ctx, stop := context.WithCancel(k.ctx)
	e := &entry{name: c.SecretName, grant: c.Grant, stop: stop}
	k.entries[c.Grant.ID] = e
	k.done.Go(func() { k.keep(ctx, e) })
}

// keep holds one token until ctx ends.
func (k *Keeper) keep(ctx context.Context, e *entry) {
	source := k.o.Source(e.grant)
	for {
		pause := k.renew(ctx, e, source)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// renew asks once, and says how long to wait before the next time.
func (k *Keeper) renew(ctx context.Context, e *entry, source Source) time.Duration {
	asking, cancel := context.WithTimeout(ctx, patience)
	token, err := source(asking)
	cancel()
	if ctx.Err() != nil {
		return 0
	}
	now := k.o.Now()
	if err == nil && (token.Value == "" || !token.Expires.After(now)) {
		err = errUseless
	}
	pause, changed := k.note(e, token, err, now)
	if changed {
		select {
		case k.changes <- struct{}{}:
		default: // a push is due already, and will take the newest
		}
	}
	return pause
}

// note keeps the outcome of one try.
func (k *Keeper) note(e *entry, token Token, err error, now time.Time) (pause time.Duration, changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		if e.token.Value != "" && !e.token.Expires.After(now) {
			e.token, changed = Token{}, true // no use, and only a stale secret in Envoy's memory
		}
		e.failed++
		k.complain(e, err)
		k.o.Report(e.name, e.token.Expires, err)
		return k.backOff(e, now), changed
	}
	if e.failed > 0 {
		k.o.Log.Info("a token was had again", "credential", e.name, "failures", e.failed)
	}
	same := e.token.Value == token.Value
	changed = !same
	e.token, e.failed, e.reason = token, 0, ""
	k.o.Report(e.name, token.Expires, nil)
	return untilRenewal(token.Expires.Sub(now), same), changed
}

// complain logs the first failure of a row, and another one only for another reason.
func (k *Keeper) complain(e *entry, err error) {
	reason := err.Error()
	if reason == e.reason {
		return
	}
	e.reason = reason
	k.o.Log.Warn("no token could be had; it is tried again", "credential", e.name, "error", reason, "one_is_held", e.token.Value != "")
}

// backOff doubles the pause with each failure, and gives up the token it holds in time for Envoy to know.
func (k *Keeper) backOff(e *entry, now time.Time) time.Duration {
	pause := min(firstPause<<min(e.failed-1, 10), lastPause)
	pause = pause/2 + time.Duration(float64(pause/2)*k.o.Random())
	if left := e.token.Expires.Sub(now); e.token.Value != "" && left < pause {
		pause = left
	}
	return max(pause, firstPause/2)
}

// untilRenewal is when a token of this lifetime is replaced: margin before its end, or half way for a short one.
func untilRenewal(lifetime time.Duration, same bool) time.Duration {
	pause := max(lifetime-margin, lifetime/2)
	if same { // its source keeps it, and gives a new one when it thinks best
		pause = min(pause, lastPause)
	}
	return max(pause, firstPause)
}

// Tokens are those held now, by the grant's ID.
func (k *Keeper) Tokens() map[string]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	tokens := map[string]string{}
	for id, e := range k.entries {
		if e.token.Value != "" {
			tokens[id] = e.token.Value
		}
	}
	return tokens
}

// Changes gets a value when Tokens gives others than before.
func (k *Keeper) Changes() <-chan struct{} { return k.changes }

// Status is what is known of one credential, for people.
type Status struct {
	Credential string    `json:"credential"`
	Expires    time.Time `json:"expires,omitzero"` // of the token that is held; zero for none
	Failures   int       `json:"failures,omitempty"`
	Error      string    `json:"error,omitempty"` // of the last try
}

// Status lists the credentials by name.
func (k *Keeper) Status() []Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]Status, 0, len(k.entries))
	for _, e := range slices.SortedFunc(maps.Values(k.entries), func(a, b *entry) int { return cmp.Compare(a.name, b.name) }) {
		list = append(list, Status{Credential: e.name, Expires: e.token.Expires, Failures: e.failed, Error: e.reason})
	}
	return list
}

// Wait returns when all work has ended, after the context that New was given.
func (k *Keeper) Wait() { k.done.Wait() }
