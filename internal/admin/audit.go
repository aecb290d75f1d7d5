package admin

import (
	"net/http"
	"strconv"
)

// auditor is told what was changed: what was done, to what, by whom, and how that ended.
type auditor func(action, subject, detail, outcome string)

// watch tells the auditor of each call of a handler that changes something, refused ones too.
func (a auditor) watch(action string, h http.HandlerFunc) http.HandlerFunc {
	if a == nil {
		return h
	}
	return func(w http.ResponseWriter, r *http.Request) {
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			outcome := "ok"
			if seen.status >= 300 {
				outcome = "status " + strconv.Itoa(seen.status)
			}
			a(action, r.URL.RawQuery, "from "+r.RemoteAddr, outcome)
		}()
		h(seen, r)
	}
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
