package vault

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"dragoman/internal/config"
)

// Report is told what was done. Each function must be quick, and may be nil.
type Report struct {
	Read  func(kind Kind)                  // a reference was read; "" when it was had
	Login func(op string, failure error)   // login or renew
	State func(oldest, tokenEnd time.Time) // when the secret in use that was read longest ago was read, and the end of the token; zero: never
}

func (r Report) login(op string, err error) {
	if r.Login != nil {
		r.Login(op, err)
	}
}

func (r Report) read(kind Kind) {
	if r.Read != nil {
		r.Read(kind)
	}
}

// Options of a Keeper. The zero value of each is a sensible default.
type Options struct {
	Now    func() time.Time
	Random func() float64 // 0 to 1, spreads what many replicas do at the same time
	Report Report
}

// Keeper reads what a configuration has in Vault, for each load and again at each refresh. It is safe for concurrent use.
type Keeper struct {
	o    Options
	ctx  context.Context
	stop context.CancelFunc
	poke chan struct{} // something else is in force
	done sync.WaitGroup

	mu      sync.Mutex // guards what follows
	inForce *config.Vault
	session *session // of what is in force
	tried   *session // of a load that is not in force, or not yet
	lacking bool     // the last load lacked something that no fallback had
	read    map[config.VaultRef]time.Time
	failing map[config.VaultRef]*Error // what could not be read last time, and is served as it was
}

// New makes a Keeper that asks nobody yet. The caller must Close it.
func New(o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Keeper{o: o, ctx: ctx, stop: stop, poke: make(chan struct{}, 1), read: map[config.VaultRef]time.Time{}, failing: map[config.VaultRef]*Error{}}
}

// Read is config.Options.Vault: all references at once. What cannot be read now but is in force, from the same server, is given as it is
// in force: neither an outage of Vault nor a secret that went there can stop a change of something else.
func (k *Keeper) Read(v *config.Vault, refs []config.VaultRef) config.VaultAnswer {
	s := k.sessionFor(v)
	values, errs, login := k.ask(k.ctx, s, refs)
	k.mu.Lock()
	defer k.mu.Unlock()
	answer := config.VaultAnswer{Values: values, Errs: map[config.VaultRef]error{}}
	k.lacking = false
	for _, ref := range refs {
		e := errs[ref]
		if e == nil {
			k.note(ref, nil)
			continue
		}
		if last, ok := k.last(v, ref); ok {
			answer.Values[ref] = last
			k.note(ref, e)
			continue
		}
		k.lacking = true
		if login != nil {
			answer.Login = login
			continue
		}
		answer.Errs[ref] = e
	}
	return answer
}

// last is the value that is in force.
func (k *Keeper) last(v *config.Vault, ref config.VaultRef) (string, bool) {
	if !v.SameServer(k.inForce) {
		return "", false
	}
	s, ok := k.inForce.Values[ref]
	return s.Reveal(), ok
}

// note keeps what came of a reference. It runs under the lock.
func (k *Keeper) note(ref config.VaultRef, e *Error) {
	if e == nil {
		k.read[ref] = k.o.Now()
		delete(k.failing, ref)
		return
	}
	k.failing[ref] = e
}

// sessionFor is the session of these settings: the one in force, or one that a load tries.
func (k *Keeper) sessionFor(v *config.Vault) *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range []*session{k.session, k.tried} {
		if s != nil && s.c.v.Same(v) {
			return s
		}
	}
	k.drop(k.tried)
	k.tried = newSession(v, k.o)
	return k.tried
}

// drop ends a session in the background. It runs under the lock.
func (k *Keeper) drop(s *session) {
	if s != nil {
		k.done.Go(s.close)
	}
}

// Use says what is in force now, nil for nothing: that is read anew at each refresh.
func (k *Keeper) Use(v *config.Vault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v != nil && len(v.Refs) == 0 {
		v = nil
	}
	k.inForce = v
	switch {
	case v == nil:
		k.drop(k.session)
		k.drop(k.tried)
		k.session, k.tried = nil, nil
	case k.session != nil && k.session.c.v.Same(v):
		k.drop(k.tried)
		k.tried = nil
	case k.tried != nil && k.tried.c.v.Same(v):
		k.drop(k.session)
		k.session, k.tried = k.tried, nil
	default:
		k.drop(k.session)
		k.session = newSession(v, k.o)
	}
	used := func(ref config.VaultRef) bool { return v != nil && slices.Contains(v.Refs, ref) }
	maps.DeleteFunc(k.read, func(ref config.VaultRef, _ time.Time) bool { return !used(ref) })
	maps.DeleteFunc(k.failing, func(ref config.VaultRef, _ *Error) bool { return !used(ref) })
	k.state()
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// state reports how old what is in use is. It runs under the lock.
func (k *Keeper) state() {
	if k.o.Report.State == nil {
		return
	}
	var oldest, end time.Time
	for _, at := range k.read {
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	if k.session != nil {
		end = k.session.get().ends
	}
	k.o.Report.State(oldest, end)
}

// Run keeps the token alive and reads anew what is in force, until ctx ends. changed is called when the configuration should be loaded
// again: a secret is another one, or a load that failed for want of Vault may succeed now.
func (k *Keeper) Run(ctx context.Context, log *slog.Logger, changed func()) {
	next := k.nextRefresh()
	for {
		timer := time.NewTimer(k.pause(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-k.poke: // other settings, another token
			if at := k.nextRefresh(); at.Before(next) {
				next = at
			}
			timer.Stop()
			continue
		case <-timer.C:
		}
		k.keep(ctx, log)
		if k.o.Now().Before(next) {
			continue
		}
		again := k.refresh(ctx, log)
		next = k.nextRefresh()
		if again && ctx.Err() == nil {
			changed()
		}
	}
}

// idle is how long the loop sleeps at most: a poke wakes it before.
const idle = time.Minute

func (k *Keeper) current() (*config.Vault, *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.inForce, k.session
}

// nextRefresh is at the latest a whole refresh from now, and for many replicas not at the same moment.
func (k *Keeper) nextRefresh() time.Time {
	v, _ := k.current()
	if v == nil {
		return k.o.Now().Add(idle)
	}
	return k.o.Now().Add(time.Duration(float64(v.Refresh) * (0.8 + 0.2*k.o.Random())))
}

func (k *Keeper) pause(next time.Time) time.Duration {
	if _, s := k.current(); s != nil {
		if due := s.due(); !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	return max(next.Sub(k.o.Now()), time.Millisecond)
}

// keep renews the token when that is due.
func (k *Keeper) keep(ctx context.Context, log *slog.Logger) {
	v, s := k.current()
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, rounds*v.Timeout)
	defer cancel()
	if err := s.keep(ctx); err != nil && ctx.Err() == nil {
		log.Warn("the token for Vault could not be renewed", "error", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state()
}

// refresh reads what is in force, and says whether that is not what is there any more.
func (k *Keeper) refresh(ctx context.Context, log *slog.Logger) (again bool) {
	v, s := k.current()
	if v == nil {
		return k.lacks()
	}
	values, errs, _ := k.ask(ctx, s, v.Refs)
	if ctx.Err() != nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.session != s {
		return false // another server is in force by now
	}
	k.complain(log, errs)
	for _, ref := range v.Refs {
		k.note(ref, errs[ref])
		if value, ok := values[ref]; ok && v.Values[ref].Reveal() != value {
			again = true
		}
	}
	k.state()
	return again || k.lacking
}

func (k *Keeper) lacks() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lacking
}

// complain logs what cannot be read, once for each reason, and that it can again. It runs under the lock.
func (k *Keeper) complain(log *slog.Logger, errs map[config.VaultRef]*Error) {
	news := map[string][]string{} // secrets by reason
	for ref, e := range errs {
		if before := k.failing[ref]; before == nil || before.Text != e.Text {
			news[e.Text] = append(news[e.Text], ref.String())
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(news)) {
		secrets := news[reason]
		slices.Sort(secrets)
		log.Warn("secrets of Vault could not be read; what was read before stays in force", "error", reason,
			"secrets", len(secrets), "first", secrets[0])
	}
	back := 0
	for ref := range k.failing {
		if errs[ref] == nil {
			back++
		}
	}
	if back > 0 {
		log.Info("secrets of Vault were read again", "secrets", back)
	}
}

// Status is what is known, for people. It holds no secret.
type Status struct {
	Address      string    `json:"address"`
	Login        string    `json:"login"`
	Secrets      int       `json:"secrets"`
	Oldest       time.Time `json:"oldest,omitzero"`        // when the secret that was read longest ago was read
	TokenExpires time.Time `json:"token_expires,omitzero"` // absent: never
	Failing      []Failing `json:"failing,omitempty"`      // at the last try; what was read before serves on
}

// Failing is a secret that cannot be read now.
type Failing struct {
	Secret string    `json:"secret"`
	Error  string    `json:"error"`
	Read   time.Time `json:"read,omitzero"` // the last time that it could be
}

// Status is nil when nothing of Vault is in force.
func (k *Keeper) Status() *Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.inForce == nil {
		return nil
	}
	out := &Status{Address: k.inForce.Address, Login: k.inForce.Login(), Secrets: len(k.inForce.Refs), TokenExpires: k.session.get().ends}
	for _, ref := range k.inForce.Refs {
		if at := k.read[ref]; !at.IsZero() && (out.Oldest.IsZero() || at.Before(out.Oldest)) {
			out.Oldest = at
		}
		if e := k.failing[ref]; e != nil {
			out.Failing = append(out.Failing, Failing{Secret: ref.String(), Error: e.Text, Read: k.read[ref]})
		}
	}
	return out
}

// Close ends what runs, and the tokens that were made for it.
func (k *Keeper) Close() {
	k.stop()
	k.mu.Lock()
	k.drop(k.session)
	k.drop(k.tried)
	k.session, k.tried, k.inForce = nil, nil, nil
	k.mu.Unlock()
	k.done.Wait()
}
