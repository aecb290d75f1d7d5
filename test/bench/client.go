package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"
)

// call is one request as it is sent, byte for byte, and what must be true of its answer.
type call struct {
	address string // host:port
	request []byte
	want    want
}

// want is what makes an answer right.
type want struct {
	mark     string // stands in the body
	words    int    // number of markWord in the body, 0 to not count
	terminal string // the body ends with it, but for white space
	header   string // how the header line begins by which a gateway says that it did what the case means, "" for any
}

// check returns what is wrong with an answer.
func (w *want) check(status int, body []byte) error {
	switch {
	case status != 200:
		return fmt.Errorf("status %d: %s", status, clip(body))
	case !bytes.Contains(body, []byte(w.mark)):
		return fmt.Errorf("the answer lacks %q: %s", w.mark, clip(body))
	case !bytes.HasSuffix(bytes.TrimRight(body, "\r\n "), []byte(w.terminal)):
		return fmt.Errorf("the stream does not end with %q: %s", w.terminal, clip(body))
	}
	if w.words > 0 {
		if n := bytes.Count(body, []byte(markWord)); n != w.words {
			return fmt.Errorf("%d of %d chunks arrived: %s", n, w.words, clip(body))
		}
	}
	return nil
}

func clip(b []byte) []byte {
	const most = 400
	if len(b) > most {
		return append(append([]byte(nil), b[:most]...), "…"...)
	}
	return b
}

// client holds one keep-alive connection and asks the same question over and over.
type client struct {
	call     *call
	conn     net.Conn
	r        *reader
	body     []byte
	deadline time.Time // of everything that the client does
	stop     func() bool
}

// timing is how long one answer took, from the first byte sent, and whether it came about as the case means it.
type timing struct {
	first, whole time.Duration
	meant        bool
}

// ask sends one request and reads its answer to the end.
func (c *client) ask(ctx context.Context) (t timing, err error) {
	if c.conn == nil {
		if err := c.connect(ctx); err != nil {
			return t, err
		}
	}
	begin := time.Now()
	if _, err := c.conn.Write(c.call.request); err != nil {
		return t, c.drop(err)
	}
	status, err := c.r.status()
	if err != nil {
		return t, c.drop(err)
	}
	h, err := c.r.headers(c.call.want.header)
	if err != nil {
		return t, c.drop(err)
	}
	if c.body, err = c.r.body(h, c.body[:0], func() { t.first = time.Since(begin) }); err != nil {
		return t, c.drop(err)
	}
	t.whole, t.meant = time.Since(begin), h.wanted || c.call.want.header == ""
	if h.close {
		c.close()
	}
	return t, c.call.want.check(status, c.body)
}

func (c *client) connect(ctx context.Context) error {
	d := net.Dialer{Deadline: c.deadline}
	conn, err := d.DialContext(ctx, "tcp", c.call.address)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(c.deadline); err != nil {
		conn.Close()
		return err
	}
	c.conn, c.r = conn, newReader(conn)
	// An answer that never comes must not hold up the end of a run that was broken off.
	c.stop = context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	return nil
}

// drop gives up a connection of which nobody knows what comes next.
func (c *client) drop(err error) error {
	c.close()
	return fmt.Errorf("connection broke: %w", err)
}

func (c *client) close() {
	if c.conn != nil {
		c.stop()
		c.conn.Close()
		c.conn = nil
	}
}
