package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// stream writes server-sent events. After the client has gone it writes nothing.
type stream struct {
	w    http.ResponseWriter
	ctx  context.Context
	pace time.Duration
	gone bool
}

func newStream(w http.ResponseWriter, r *http.Request, pace time.Duration) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, ctx: r.Context(), pace: pace}
}

// send writes one event; name is "" for a schema without event names.
func (s *stream) send(name string, data any) {
	encoded, err := json.Marshal(data)
	if err != nil {
		s.gone = true
		return
	}
	s.raw(name, encoded)
}

func (s *stream) raw(name string, data []byte) {
	if s.gone || s.ctx.Err() != nil {
		s.gone = true
		return
	}
	if name != "" {
		name = "event: " + name + "\n"
	}
	if _, err := fmt.Fprintf(s.w, "%sdata: %s\n\n", name, data); err != nil {
		s.gone = true
		return
	}
	_ = http.NewResponseController(s.w).Flush() // a recorder may not have it
}

// wait paces the words; false when the client has gone.
func (s *stream) wait() bool {
	if s.pace <= 0 || s.gone {
		return !s.gone
	}
	timer := time.NewTimer(s.pace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		s.gone = true
		return false
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may have gone
}
