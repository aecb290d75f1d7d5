package harness

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// logBuffer keeps Dragoman's output, its beginning and its end when it is long.
type logBuffer struct {
	mu      sync.Mutex
	head    bytes.Buffer
	tail    []byte
	keeping bool
}

const keptLog = 4 << 20 // bytes of each end

// Write takes output as it comes.
func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head.Len() < keptLog {
		l.head.Write(b)
		return len(b), nil
	}
	l.tail = append(l.tail, b...)
	if len(l.tail) > 2*keptLog {
		l.tail = append(l.tail[:0], l.tail[len(l.tail)-keptLog:]...)
	}
	return len(b), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tail) == 0 {
		return l.head.String()
	}
	return l.head.String() + "\n[...]\n" + string(l.tail)
}

// keep makes Close leave the gateway's folder where it is.
func (l *logBuffer) keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keeping = true
}

func (l *logBuffer) kept() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keeping
}

// Log is Dragoman's output so far.
func (g *Gateway) Log() string { return g.log.String() }

// EnvoyLog is Envoy's output so far.
func (g *Gateway) EnvoyLog() string {
	b, _ := os.ReadFile(filepath.Join(g.Dir, "envoy", "envoy.log"))
	return string(b)
}

// tails are the last lines of both logs, for an error.
func (g *Gateway) tails() string {
	return "Dragoman's log ends:\n" + lastLines(g.Log(), 30) + "\nEnvoy's log ends:\n" + lastLines(g.EnvoyLog(), 20)
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// explain keeps, for a test that failed, the configuration, both logs and Envoy's configuration dump, and says where.
func (g *Gateway) explain(t testing.TB) {
	t.Helper()
	if !t.Failed() {
		return
	}
	g.log.keep()
	_ = os.WriteFile(filepath.Join(g.Dir, "dragoman.log"), []byte(g.Log()), 0o600)
	if g.envoy != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if dump, err := g.envoy.ConfigDump(ctx); err == nil {
			_ = os.WriteFile(filepath.Join(g.Dir, "config_dump.json"), dump, 0o600)
		}
	}
	t.Logf("the gateway's configuration, logs and Envoy's dump are kept in %s\n%s", g.Dir, g.tails())
}

// watchLeaks notes the goroutines of now and returns the check that no others are left.
func watchLeaks() func(testing.TB) {
	ignored := []goleak.Option{goleak.IgnoreCurrent()}
	if sharedUp.Load() { // its Envoy may open another connection at any time
		for _, f := range []string{"(*http2Server).keepalive", "(*http2Server).HandleStreams", "(*loopyWriter).run"} {
			ignored = append(ignored, goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/transport."+f))
		}
	}
	return func(t testing.TB) {
		t.Helper()
		if err := goleak.Find(ignored...); err != nil {
			t.Errorf("left running: %v", err)
		}
	}
}
