package redisserver

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
)

// ServeTLS takes TLS connections in front of the server, which has none built in, and returns their address. It ends with the test.
func (s *Server) ServeTLS(t testing.TB, certificate tls.Certificate) (addr string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	var serving sync.WaitGroup
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		open = append(open, c)
	}
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			keep(c)
			serving.Go(func() {
				defer c.Close()
				server, err := net.Dial("tcp", s.Addr)
				if err != nil {
					return
				}
				keep(server)
				serving.Go(func() {
					defer c.Close()
					_, _ = io.Copy(c, server)
				})
				defer server.Close()
				_, _ = io.Copy(server, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return l.Addr().String()
}
