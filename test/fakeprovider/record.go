package fakeprovider

import (
	"bytes"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// What is kept of requests, so that a fake under load does not grow without bound.
const (
	keptRequests = 2000
	keptBody     = 1 << 20
	keptResponse = 256 << 10
	keptProblems = 200
)

// Request is what a fake received, and what became of it. Fields after Body are set when the answer has ended.
type Request struct {
	Serial  int // from 1
	At      time.Time
	Proto   string // HTTP/1.1, HTTP/2.0
	Method  string
	Path    string
	Query   string
	Host    string
	Header  http.Header // canonical names, as net/http gives them
	Body    []byte      // its first MiB
	BodyLen int64

	Done      bool
	Rejected  string // the vendor's error message when validation refused it, else ""
	Status    int    // 0: none was sent
	Aborted   bool   // the client went away first
	Delivered int64  // output tokens that left before the end
	Response  []byte // its first 256 KiB, as sent

	epoch int // Server.epoch when it came
}

// Get reads a member of the JSON body by gjson path: "messages.0.content".
func (r *Request) Get(path string) gjson.Result { return gjson.GetBytes(r.Body, path) }

// Counters since the start or the last Reset.
type Counters struct {
	Connections int
	Requests    int
	Rejected    int   // refused by validation
	Faults      int   // scripted failures
	Complete    int   // answers that ended whole
	Aborted     int   // by the client, before the end
	InFlight    int   // now
	MaxInFlight int   // at once
	Tokens      int64 // output tokens of complete answers, as reported in their usage
	Delivered   int64 // output tokens that left, of all answers
}

// Counters is a copy.
func (s *Server) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Requests are the latest requests (2000 at most) in the order they came; copies.
func (s *Server) Requests() []*Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Request, len(s.requests))
	for i, r := range s.requests {
		c := *r
		out[i] = &c
	}
	return out
}

// Last is the latest request, nil when there was none.
func (s *Server) Last() *Request {
	all := s.Requests()
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// Unexpected lists what no correct gateway sends: headers off the allow-list, unknown paths, duplicate members of a
// body. Values are not shown.
func (s *Server) Unexpected() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.problems...)
}

// TakeUnexpected is Unexpected, and forgets them: for tests that provoke them.
func (s *Server) TakeUnexpected() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.problems
	s.problems = nil
	return p
}

// Saw says where in the kept requests (line, headers, bodies) secret occurs: a canary must be nowhere.
func (s *Server) Saw(secret string) []string {
	var where []string
	for _, r := range s.Requests() {
		if strings.Contains(r.Path+"?"+r.Query+" "+r.Host, secret) {
			where = append(where, fmt.Sprintf("request %d: URL", r.Serial))
		}
		for name, values := range r.Header {
			if strings.Contains(name+": "+strings.Join(values, ","), secret) {
				where = append(where, fmt.Sprintf("request %d: header %s", r.Serial, name))
			}
		}
		if bytes.Contains(r.Body, []byte(secret)) {
			where = append(where, fmt.Sprintf("request %d: body", r.Serial))
		}
	}
	sort.Strings(where)
	return where
}

func (s *Server) unexpected(r *Request, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) < keptProblems {
		s.problems = append(s.problems, fmt.Sprintf("request %d %s %s: ", r.Serial, r.Method, r.Path)+fmt.Sprintf(format, args...))
	}
}

// begin records a request whose body is not read yet.
func (s *Server) begin(hr *http.Request) *Request {
	r := &Request{
		At: s.opts.Now(), Proto: hr.Proto, Method: hr.Method, Path: hr.URL.Path, Query: hr.URL.RawQuery, Host: hr.Host,
		Header: hr.Header.Clone(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	r.Serial, r.epoch = s.serial, s.epoch
	s.counts.Requests++
	s.counts.InFlight++
	s.counts.MaxInFlight = max(s.counts.MaxInFlight, s.counts.InFlight)
	if len(s.requests) == keptRequests {
		s.requests = append(s.requests[:0], s.requests[1:]...)
	}
	s.requests = append(s.requests, r)
	return r
}

// outcome is what answering a request came to.
type outcome struct {
	status    int
	rejected  string
	fault     bool
	complete  bool
	aborted   bool
	usage     int64
	delivered int64
	response  []byte
}

func (s *Server) end(r *Request, o *outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Done, r.Rejected, r.Status, r.Aborted, r.Delivered, r.Response = true, o.rejected, o.status, o.aborted, o.delivered, o.response
	c := &s.counts
	c.InFlight--
	if r.epoch != s.epoch { // Reset has come between
		return
	}
	c.Delivered += o.delivered
	if o.rejected != "" {
		c.Rejected++
	}
	if o.fault {
		c.Faults++
	}
	if o.aborted {
		c.Aborted++
	}
	if o.complete {
		c.Complete++
		c.Tokens += o.usage
	}
}

func (s *Server) setBody(r *Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.BodyLen = int64(len(body))
	r.Body = body[:min(len(body), keptBody)]
}
