package vault

import (
	"context"
	"errors"
	"strings"
	"sync"

	"dragoman/internal/config"
)

const (
	// parallel is how many secrets are read at once.
	parallel = 8
	// rounds bounds one reading of everything, in times of one request: a login, reading, and both again after a refusal.
	rounds = 4
)

// ask reads these references, secrets that share a path by one request. login says why there is no token.
func (k *Keeper) ask(ctx context.Context, s *session, refs []config.VaultRef) (values map[config.VaultRef]string, errs map[config.VaultRef]*Error, login error) {
	ctx, cancel := context.WithTimeout(ctx, rounds*s.c.v.Timeout)
	defer cancel()
	stop := context.AfterFunc(k.ctx, cancel)
	defer stop()
	values, errs = map[config.VaultRef]string{}, map[config.VaultRef]*Error{}
	r := &reading{s: s, of: map[secretAt][]config.VaultRef{}, values: values, errs: errs}
	for _, ref := range refs {
		at := secretAt{ref.Mount, ref.Path}
		if r.of[at] == nil {
			r.list = append(r.list, at)
		}
		r.of[at] = append(r.of[at], ref)
	}
	if _, login = s.token(ctx); login != nil {
		r.stop(asError(login, true))
		if passing(login) {
			login = nil // it is no matter of the login: each secret says so where it stands
		} else {
			login = errors.New("cannot log in at " + s.c.v.Address + ": " + login.Error())
		}
	}
	r.run(ctx)
	for _, ref := range refs {
		if e := errs[ref]; e != nil {
			k.o.Report.read(e.Kind)
		} else {
			k.o.Report.read("")
		}
	}
	return values, errs, login
}

type secretAt struct{ mount, path string }

// reading is one reading of many secrets.
type reading struct {
	s    *session
	of   map[secretAt][]config.VaultRef
	list []secretAt

	mu      sync.Mutex // guards what follows
	next    int
	stopped *Error // why nothing more is asked
	values  map[config.VaultRef]string
	errs    map[config.VaultRef]*Error
}

func (r *reading) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range min(parallel, len(r.list)) {
		workers.Go(func() {
			for {
				at, ok := r.take()
				if !ok {
					return
				}
				e, err := r.s.read(ctx, at.mount, at.path)
				r.put(at, e, err)
			}
		})
	}
	workers.Wait()
}

// take gives the next secret to read. When Vault as a whole is away, the rest is not asked for.
func (r *reading) take() (secretAt, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.next < len(r.list) {
		at := r.list[r.next]
		r.next++
		if r.stopped == nil {
			return at, true
		}
		for _, ref := range r.of[at] {
			r.errs[ref] = r.stopped
		}
	}
	return secretAt{}, false
}

func (r *reading) stop(e *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = e
}

func (r *reading) put(at secretAt, e entry, err error) {
	failed := asError(err, false)
	r.mu.Lock()
	defer r.mu.Unlock()
	if failed != nil && failed.passing() {
		failed = asError(failed, true)
		r.stopped = failed
	}
	for _, ref := range r.of[at] {
		if failed != nil {
			r.errs[ref] = failed
			continue
		}
		value, bad := e.field(ref.Field)
		if bad != nil {
			r.errs[ref] = bad
			continue
		}
		r.values[ref] = value
	}
}

// asError makes err an *Error whose text reads on after the name of a secret.
func asError(err error, outage bool) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		e = failure(Away, "%s", err)
	}
	if outage && !strings.HasPrefix(e.Text, "cannot be read") {
		copied := *e
		copied.Text = "cannot be read: " + e.Text
		return &copied
	}
	return e
}
