package fakeprovider

import (
	"bytes"
	"net"
	"net/http"
	"time"
)

const htmlPage = `<!DOCTYPE html>
<html><head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>cloudflare</center></body></html>
`

// fail carries out the scripted failure. False: the failure was only a delay, answer on. q may be nil (a request that
// validation refused fails all the same: the vendor's outage comes before its validation).
func (a *answer) fail(q *ask) bool {
	f := a.rule.Fault
	a.fault = true
	if f.Delay > 0 && f.Kind != Hang && !a.wait(f.Delay) {
		return true
	}
	switch f.Kind {
	case Delay:
		return false
	case Hang:
		hold := a.server.opts.MaxHold
		if f.Delay > 0 {
			hold = f.Delay
		}
		a.hold(hold)
		a.reset()
	case Reset:
		a.reset()
	case Status:
		a.failStatus(f)
	case HTML200:
		a.whole(http.StatusOK, "text/html; charset=utf-8", []byte(htmlPage))
	case HTML502:
		a.whole(http.StatusBadGateway, "text/html; charset=utf-8", []byte(htmlPage))
	case EmptyBody:
		a.whole(http.StatusOK, "application/json", nil)
	case BadJSON:
		a.whole(http.StatusOK, "application/json", []byte(`{"id":"broken","choices":[{"message":{"content":"half`))
	default:
		return a.failReply(q, f)
	}
	return true
}

// failReply are the failures that need an answer to fail in.
func (a *answer) failReply(q *ask, f *Fault) bool {
	if q == nil {
		return false
	}
	switch f.Kind {
	case Gzip:
		a.reply(q, &limits{encoding: "gzip"})
	case Brotli:
		a.reply(q, &limits{encoding: "br"})
	case ErrorEvent, BadChecksum, Cut, EndEarly, Stall:
		lim := &limits{after: f.After, then: f.Kind}
		if f.Kind == ErrorEvent || f.Kind == BadChecksum {
			lim.errorE = a.vendor().fault(withStatus(f, 529), q.model)
		}
		a.reply(q, lim)
	case EndlessLine:
		a.endless(q, f.size())
	case HugeBody:
		a.rule.Reply = Text(string(bytes.Repeat([]byte("huge "), f.size()/5)))
		a.rule.Reply.Chunks = 1
		a.reply(q, nil)
	}
	return true
}

func (f *Fault) size() int {
	if f.Bytes > 0 {
		return f.Bytes
	}
	return 8 << 20
}

func withStatus(f *Fault, status int) *Fault {
	c := *f
	if c.Status == 0 {
		c.Status = status
	}
	return &c
}

func (a *answer) failStatus(f *Fault) {
	f = withStatus(f, http.StatusInternalServerError)
	if f.RetryAfter != "" {
		a.w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.RetryAfterMS != "" {
		a.w.Header().Set("Retry-After-Ms", f.RetryAfterMS)
	}
	model := ""
	if a.r.Body != nil {
		model = a.r.Get("model").String()
	}
	a.refuse(a.vendor().fault(f, model))
}

// endless writes one event that does not end, size bytes of it.
func (a *answer) endless(q *ask, size int) {
	a.head(http.StatusOK, a.streamMedia(), -1)
	begin := []byte(`data: {"id":"endless","model":"` + q.model + `","content":"`)
	if v, ok := a.vendor().(framed); ok {
		begin = v.endless(size)
	}
	if !a.write(begin) {
		return
	}
	block := bytes.Repeat([]byte("x"), 64<<10)
	for written := 0; written < size; written += len(block) {
		if !a.write(block[:min(len(block), size-written)]) {
			return
		}
		a.flush()
	}
}

// reset ends the connection (over HTTP/2 the stream) without a proper end. What was flushed is on its way: the pause
// keeps a RST, which discards what the kernel has not sent yet, from overtaking it.
func (a *answer) reset() {
	a.flushed()
	conn, _, err := http.NewResponseController(a.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: net/http sends RST_STREAM
	}
	if tcp := rawTCP(conn); tcp != nil {
		_ = tcp.SetLinger(0) // close with RST
		_ = tcp.Close()
	}
	_ = conn.Close()
}

func (a *answer) flushed() {
	if a.status != 0 {
		a.flush()
		time.Sleep(20 * time.Millisecond)
	}
}

// rawTCP finds the TCP connection under TLS and tracking.
func rawTCP(c net.Conn) *net.TCPConn {
	for {
		if t, ok := c.(*net.TCPConn); ok {
			return t
		}
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = inner.NetConn()
	}
}
