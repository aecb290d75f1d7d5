package access

import (
	"sync"
	"time"
)

// Event is what the audit trail is told: what an administrator did, or was refused. It holds no secret.
type Event struct {
	Action  string // key.create, login, refused …
	Subject string // what it was done to
	Who     string // token:NAME, oidc:EMAIL, github:LOGIN, local, "" for nobody known
	Address string // host:port of the peer
	Tenant  string // whose it is
	Team    string
	User    string
	Key     string
	Outcome string // ok, or the kind of fault
	Count   uint64 // how often, when it was not written down each time; 0 stands for once
}

// Auditor writes events down. Refusals of nobody known are bounded, so that whoever has no token cannot fill the trail: beyond 10 a
// second they are counted, and written down as one with the next. It is safe for concurrent use.
type Auditor struct {
	Write func(Event)
	Now   func() time.Time

	mu     sync.Mutex
	second int64
	seen   int
	more   uint64
}

const anonymousEach = 10 // a second

// Note writes an event down, or counts it.
func (a *Auditor) Note(e Event) {
	if e.Who == "" {
		more, ok := a.anonymous()
		if more > 0 {
			a.Write(Event{Action: "refused", Subject: "others without identity", Outcome: "unauthenticated", Count: more})
		}
		if !ok {
			return
		}
	}
	a.Write(e)
}

// anonymous says whether one more is written down, and how many were not since the last that was.
func (a *Auditor) anonymous() (more uint64, ok bool) {
	now := a.Now().Unix()
	a.mu.Lock()
	defer a.mu.Unlock()
	if now != a.second {
		a.second, a.seen = now, 0
	}
	if a.seen++; a.seen > anonymousEach {
		a.more++
		return 0, false
	}
	more, a.more = a.more, 0
	return more, true
}
