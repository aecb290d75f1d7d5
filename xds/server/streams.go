package server

import (
	"context"
	"log/slog"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// streams follows what each connected Envoy applied, from the nonces of the delta protocol.
type streams struct {
	log    *slog.Logger
	report func(Event)

	mu      sync.Mutex
	wanted  *cachev3.Snapshot
	open    map[int64]map[string]*state // by stream, then by type URL
	said    map[string]string           // by type, what the log said last
	changed chan struct{}               // closed and replaced at each change
}

// state is one type on one stream.
type state struct {
	nonce, version string              // of the last response sent
	sent           map[string]string   // versions by name in it, "" for a resource that it removed
	has            map[string]string   // versions by name that Envoy has
	names          map[string]struct{} // that Envoy asked for; nil: all there are
	applied        string              // version of the type, "" before the first ACK
	refused        string              // why the last response was, "" when it was not
}

// holds says whether Envoy has all that it wants of a type. Of the secrets and routes it wants those that clusters and
// listeners name: for any other nothing is sent, and no ACK comes.
func (st *state) holds(wanted map[string]string) bool {
	for name, version := range wanted {
		if _, asked := st.names[name]; (asked || st.names == nil) && st.has[name] != version {
			return false
		}
	}
	return true
}

// ask takes in what Envoy wants, no longer wants, and, coming back, already has.
func (st *state) ask(req *discoveryv3.DeltaDiscoveryRequest) {
	for _, name := range req.GetResourceNamesSubscribe() {
		if name == "*" {
			continue
		}
		if st.names == nil {
			st.names = map[string]struct{}{}
		}
		st.names[name] = struct{}{}
	}
	for _, name := range req.GetResourceNamesUnsubscribe() {
		delete(st.names, name)
		delete(st.has, name)
	}
	st.learn(req.GetInitialResourceVersions())
}

// learn takes in versions that Envoy has, "" for a resource that it has no longer.
func (st *state) learn(versions map[string]string) {
	for name, version := range versions {
		if version == "" {
			delete(st.has, name)
			continue
		}
		if st.has == nil {
			st.has = map[string]string{}
		}
		st.has[name] = version
	}
}

func newStreams(o Options) *streams {
	return &streams{log: o.Log, report: o.Report, open: map[int64]map[string]*state{}, said: map[string]string{}, changed: make(chan struct{})}
}

// OnDeltaStreamOpen is called when an Envoy connects.
func (s *streams) OnDeltaStreamOpen(_ context.Context, id int64, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[id] = map[string]*state{}
	s.wake()
	return nil
}

// OnDeltaStreamClosed is called when an Envoy is gone.
func (s *streams) OnDeltaStreamClosed(id int64, _ *corev3.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
	s.wake()
}

func (s *streams) want(snap *cachev3.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = snap
	s.wake()
}

// wake lets waiters look again; s.mu is held.
func (s *streams) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// of finds the state of one type on one stream; s.mu is held.
func (s *streams) of(id int64, url string) *state {
	kinds := s.open[id]
	if kinds == nil {
		kinds = map[string]*state{}
		s.open[id] = kinds
	}
	if kinds[url] == nil {
		kinds[url] = &state{}
	}
	return kinds[url]
}

// OnStreamDeltaResponse remembers what is about to be sent.
func (s *streams) OnStreamDeltaResponse(id int64, _ *discoveryv3.DeltaDiscoveryRequest, resp *discoveryv3.DeltaDiscoveryResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.of(id, resp.GetTypeUrl())
	st.nonce, st.version, st.refused = resp.GetNonce(), resp.GetSystemVersionInfo(), ""
}

// OnStreamDeltaRequest reads an ACK, a NACK, or the first request of an Envoy that reconnects and says what it has.
func (s *streams) OnStreamDeltaRequest(id int64, req *discoveryv3.DeltaDiscoveryRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	url := req.GetTypeUrl()
	st := s.of(id, url)
	st.ask(req)
	switch {
	case req.GetResponseNonce() == "":
		// One that comes back and has all that it wants gets no response, and so sends no ACK.
		if len(req.GetInitialResourceVersions()) == 0 || s.wanted == nil || !st.holds(s.wanted.GetVersionMap(url)) {
			return nil
		}
		st.applied, st.refused = s.wanted.GetVersion(url), ""
		s.tell(url, Event{Version: st.applied})
	case req.GetResponseNonce() != st.nonce: // about an older push
	case req.GetErrorDetail() != nil:
		st.refused = reason(url, req.GetErrorDetail().GetMessage())
		s.tell(url, Event{Version: st.version, Err: st.refused})
	default:
		st.applied, st.refused = st.version, ""
		st.learn(st.sent)
		s.tell(url, Event{Version: st.version})
	}
	return nil
}

// tell reports an answer, logs it when it is news, and wakes who waits for it. s.mu is held, so that whoever is woken finds it
// reported.
func (s *streams) tell(url string, e Event) {
	e.Type = kindName(url)
	if said := e.Version + e.Err; s.said[url] != said {
		s.said[url] = said
		if e.Err != "" {
			s.log.Error("Envoy refused a configuration; it keeps the last good one", "type", e.Type, "version", e.Version, "reason", e.Err)
		} else {
			s.log.Debug("Envoy applied a configuration", "type", e.Type, "version", e.Version)
		}
	}
	if s.report != nil {
		s.report(e)
	}
	s.wake()
}

// maxReason bounds what is kept of Envoy's message, in bytes, at either end: it begins with the resource's name, and ends, after all of the
// resource, with the cause.
const maxReason = 300

// reason is Envoy's message, which may quote the resource: of a secret it is not repeated.
func reason(url, message string) string {
	if url == resource.SecretType {
		return "a secret was refused; Envoy's own log says which"
	}
	if len(message) > 2*maxReason {
		message = message[:maxReason] + " … " + message[len(message)-maxReason:]
	}
	if message == "" {
		return "no reason given"
	}
	return message
}
