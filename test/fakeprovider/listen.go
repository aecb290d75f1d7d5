package fakeprovider

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"syscall"
)

var quiet = log.New(io.Discard, "", 0)

// acceptor is a listener that knows its connections, so that Refuse can end them too.
type acceptor struct {
	net.Listener
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	count func()
}

func (a *acceptor) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	a.count()
	t := &trackedConn{Conn: c, from: a}
	a.mu.Lock()
	a.conns[t] = struct{}{}
	a.mu.Unlock()
	return t, nil
}

func (a *acceptor) closeAll() {
	_ = a.Listener.Close()
	a.mu.Lock()
	conns := a.conns
	a.conns = map[net.Conn]struct{}{}
	a.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
}

type trackedConn struct {
	net.Conn
	from *acceptor
}

// NetConn is the TCP connection beneath, for resets.
func (c *trackedConn) NetConn() net.Conn { return c.Conn }

func (c *trackedConn) Close() error {
	c.from.mu.Lock()
	delete(c.from.conns, c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}

func (s *Server) listen(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("fakeprovider: %w", err)
	}
	s.addr = ln.Addr().String()
	s.serve(ln)
	return nil
}

// serve must be called with s.net held, or before s is shared.
func (s *Server) serve(ln net.Listener) {
	a := &acceptor{Listener: ln, conns: map[net.Conn]struct{}{}, count: func() {
		s.mu.Lock()
		s.counts.Connections++
		s.mu.Unlock()
	}}
	s.accept = a
	s.served.Add(1)
	go func() {
		defer s.served.Done()
		if s.opts.CA != nil {
			_ = s.http.ServeTLS(a, "", "")
			return
		}
		_ = s.http.Serve(a)
	}()
}

// Refuse makes the fake refuse connections: the listener closes and so does every open connection. The port stays
// reserved, so that nobody else can take it. It has no effect when connections are refused already.
func (s *Server) Refuse() error {
	s.net.Lock()
	defer s.net.Unlock()
	if s.closed || s.accept == nil {
		return nil
	}
	s.accept.closeAll()
	s.accept = nil
	p, err := parkPort(s.addr)
	if err != nil {
		return err
	}
	s.parked = p
	return nil
}

// Accept undoes Refuse.
func (s *Server) Accept() error {
	s.net.Lock()
	defer s.net.Unlock()
	if s.closed || s.parked == nil {
		return nil
	}
	ln, err := s.parked.listen()
	s.parked = nil
	if err != nil {
		return err
	}
	s.serve(ln)
	return nil
}

// parkedPort is a socket that is bound and does not listen: whoever connects is refused by the kernel, and no other
// process is given the port.
type parkedPort struct{ fd int }

func parkPort(addr string) (*parkedPort, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	syscall.CloseOnExec(fd)
	sa := &syscall.SockaddrInet4{Port: tcp.Port}
	copy(sa.Addr[:], tcp.IP.To4())
	if err := errors.Join(
		os.NewSyscallError("setsockopt", syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)),
		os.NewSyscallError("bind", syscall.Bind(fd, sa)),
	); err != nil {
		_ = syscall.Close(fd)
		return nil, err
	}
	return &parkedPort{fd}, nil
}

func (p *parkedPort) listen() (net.Listener, error) {
	if err := syscall.Listen(p.fd, 128); err != nil {
		p.close()
		return nil, os.NewSyscallError("listen", err)
	}
	f := os.NewFile(uintptr(p.fd), "fakeprovider")
	defer f.Close() // FileListener holds a copy
	return net.FileListener(f)
}

func (p *parkedPort) close() { _ = syscall.Close(p.fd) }
