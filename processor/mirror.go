package processor

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
	"dragoman/translate/chat"
)

// A mirror's copies go the way of any request: through Envoy's loopback listener, as a caller of their own that no limit of a tenant
// holds up and whose cost is in no tenant's account. Envoy's own mirroring would send the bytes of one schema to a provider of another.

// mirrorPrincipal is the caller of copies. No tenant can have its name.
var mirrorPrincipal = &config.Principal{Tenant: config.Own.Tenant, Key: "mirror"}

// mirrors counts the copies in flight, by route.
type mirrors struct{ m sync.Map }

// enter counts a copy, unless there are enough.
func (m *mirrors) enter(route string, most int) (leave func(), ok bool) {
	v, found := m.m.Load(route)
	if !found {
		v, _ = m.m.LoadOrStore(strings.Clone(route), new(atomic.Int64))
	}
	n := v.(*atomic.Int64)
	if n.Add(1) > int64(most) {
		n.Add(-1)
		return nil, false
	}
	return func() { n.Add(-1) }, true
}

// mirror sends a copy of the request to the route's mirror, where the decision drew one. Nobody waits for it.
func (ex *Exchange) mirror() {
	m := ex.decision.Mirror
	if m == nil || ex.s.Loopback == nil || ex.endpoint.op != opChat || ex.principal == config.Own || ex.principal == mirrorPrincipal {
		return
	}
	leave, ok := ex.s.mirrors.enter(ex.route, m.MaxInFlight)
	if !ok {
		ex.s.Metrics.Mirrored(ex.route, "dropped")
		return
	}
	path, body := ex.copyFor(m.Model)
	within := ex.snap.RetryOf(ex.policy).Timeout
	go func() {
		defer leave()
		defer ex.s.survive() // a copy's bug must not end the process
		outcome := "sent"
		if err := ex.s.sendCopy(ex.route, path, body, within); err != nil {
			outcome = "failed"
		}
		ex.s.Metrics.Mirrored(ex.route, outcome)
	}()
}

// copyFor is the client's own request for another model. The body is the client's, which nothing writes to.
func (ex *Exchange) copyFor(m *config.Model) (path string, body []byte) {
	h := ex.asked
	path = ex.endpoint.path
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Name == "model" && h.Schema != chat.Gemini {
			body = append(body, h.Body[:f.Start]...)
			body = strconv.AppendQuote(body, m.Ref) // names of models are plain ASCII
			return path, append(body, h.Body[f.End:]...)
		}
	}
	path = strings.Replace(path, "{id}", (&url.URL{Path: m.Ref}).EscapedPath(), 1) // Gemini names it in the path
	if ex.endpoint.stream && !ex.endpoint.array {
		path += "?alt=sse"
	}
	return path, h.Body
}

// sendCopy sends a copy and reads its answer to the end, so that it is counted whole.
func (s *Server) sendCopy(route, path string, body []byte, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://dragoman"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("authorization", "Bearer "+s.OwnKey)
	req.Header.Set("cache-control", "no-store") // neither answered from the cache nor kept in it
	req.Header.Set(wiring.HeaderMirror, route)
	resp, err := s.Loopback.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// survive notes a panic of a goroutine and ends it there.
func (s *Server) survive() {
	if p := recover(); p != nil {
		s.Log.Error("panic in a copy for a mirror", "panic", p, "stack", string(debug.Stack()))
		s.Metrics.Panic()
	}
}
