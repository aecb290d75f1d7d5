package process

import (
	"bytes"
	"os"
	"strings"
	"sync"
)

const (
	tailLines = 20  // of Envoy's log that an error shows
	lineBytes = 500 // of each of them
)

// logFile keeps Envoy's output: a file of bounded size, the one before it (path.1), and the last lines for errors. Writing never
// fails, so that a full disk cannot stop Envoy at its pipe.
type logFile struct {
	path string
	max  int64

	mu   sync.Mutex
	file *os.File
	size int64
	part []byte // of a line whose end has not come
	tail []string
}

func openLog(path string, max int64) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &logFile{path: path, max: max, file: f}, nil
}

// Write takes output as it comes.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(b)
	if l.size+int64(len(b)) > l.max {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(b) // what the disk does not take is lost, the tail is not
		l.size += int64(n)
	}
	return len(b), nil
}

// rotate starts a new file; l.mu is held.
func (l *logFile) rotate() {
	if l.file != nil {
		l.file.Close()
	}
	os.Rename(l.path, l.path+".1")
	l.file, _ = os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	l.size = 0
}

// remember keeps the last lines; l.mu is held.
func (l *logFile) remember(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.extend(b)
			return
		}
		l.extend(b[:i])
		l.tail = append(l.tail, string(l.part))
		if len(l.tail) > tailLines {
			l.tail = append(l.tail[:0], l.tail[1:]...)
		}
		l.part = l.part[:0]
		b = b[i+1:]
	}
}

func (l *logFile) extend(b []byte) {
	l.part = append(l.part, b[:min(len(b), lineBytes-len(l.part))]...)
}

// last returns the last lines.
func (l *logFile) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.tail
	if len(l.part) > 0 {
		lines = append(lines[:len(lines):len(lines)], string(l.part))
	}
	return strings.Join(lines, "\n")
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
