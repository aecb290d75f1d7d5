package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

const chunkedAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: Chunked\r\nx-dragoman-cache: hit\r\n\r\n" +
	"5\r\nhello\r\n1\r\n \r\nA\r\nthe dragon\r\n0\r\n\r\n"

// readAnswers reads answers until the input ends, and gives their bodies.
func readAnswers(r *reader, wanted string) (bodies []string, heads []head, err error) {
	for {
		if _, err := r.status(); err != nil {
			return bodies, heads, err
		}
		h, err := r.headers(wanted)
		if err != nil {
			return bodies, heads, err
		}
		body, err := r.body(h, nil, nil)
		if err != nil {
			return bodies, heads, err
		}
		bodies, heads = append(bodies, string(body)), append(heads, h)
	}
}

func TestReaderTakesAnySplit(t *testing.T) {
	input := chunkedAnswer + "HTTP/1.1 503 Service Unavailable\nCONTENT-LENGTH: 3\nConnection: Close\n\nabc" + chunkedAnswer
	for name, from := range map[string]io.Reader{
		"whole": strings.NewReader(input), "bytes": iotest.OneByteReader(strings.NewReader(input)),
		"halves": iotest.HalfReader(strings.NewReader(input)), "with the end": iotest.DataErrReader(strings.NewReader(input)),
	} {
		bodies, heads, err := readAnswers(newReader(from), "x-dragoman-cache: hit")
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: ended with %v", name, err)
		}
		if got := strings.Join(bodies, "|"); got != "hello the dragon|abc|hello the dragon" {
			t.Fatalf("%s: got %q", name, got)
		}
		if heads[0].close || !heads[1].close || !heads[0].wanted || heads[1].wanted {
			t.Errorf("%s: headers read as %+v", name, heads)
		}
	}
}

func TestReaderMovesWhatIsLeft(t *testing.T) {
	one := "HTTP/1.1 200 OK\r\ncontent-length: 40000\r\n\r\n" + strings.Repeat("x", 40000)
	bodies, _, err := readAnswers(newReader(strings.NewReader(strings.Repeat(one, 5))), "")
	if !errors.Is(err, io.EOF) || len(bodies) != 5 {
		t.Fatalf("%d of 5 answers, then %v", len(bodies), err)
	}
}

func TestReaderTellsACutAnswerFromAnEnd(t *testing.T) {
	for cut := 1; cut < len(chunkedAnswer); cut++ {
		bodies, _, err := readAnswers(newReader(strings.NewReader(chunkedAnswer[:cut])), "")
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(bodies) > 0 {
			t.Fatalf("cut after %d bytes: %d answers, then %v", cut, len(bodies), err)
		}
	}
}

func TestReaderRefusesWhatIsNoAnswer(t *testing.T) {
	for name, input := range map[string]string{
		"protocol": "HTTP/2 200\r\n\r\n", "status": "HTTP/1.1 2xx OK\r\n\r\n", "header": "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
		"length":   "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
		"too long": "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
		"chunk":    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
		"chunks":   "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7fffffff\r\n",
		"its end":  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
		"line":     "HTTP/1.1 200 OK\r\nx: " + strings.Repeat("y", readBuffer) + "\r\n\r\n",
	} {
		if bodies, _, err := readAnswers(newReader(strings.NewReader(input)), ""); err == nil || errors.Is(err, io.EOF) || len(bodies) > 0 {
			t.Errorf("%s: read as %q, %v", name, bodies, err)
		}
	}
}

func TestBodyReportsItsFirstByteOnce(t *testing.T) {
	r := newReader(iotest.OneByteReader(strings.NewReader("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")))
	calls := 0
	body, err := r.body(head{chunked: true}, nil, func() { calls++ })
	if err != nil || string(body) != "abcdef" || calls != 1 {
		t.Errorf("got %q, %v, and %d reports", body, err, calls)
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	from := bytes.NewReader([]byte(chunkedAnswer))
	r := newReader(from)
	body := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		from.Seek(0, io.SeekStart)
		r.status()
		h, err := r.headers("x-dragoman-cache: hit")
		if err != nil {
			t.Fatal(err)
		}
		if body, err = r.body(h, body[:0], nil); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for an answer", n)
	}
}
