package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"
)

// The fake provider is a process of its own, so that what it costs is not counted as anybody's. It knows just enough
// HTTP/1.1 to be talked to by Envoy, and says one of a handful of canned answers with as few system calls as there are
// pieces: the less it takes of the machine, the steadier the rest.

// providerAddresses is what the provider prints as its first line: where it listens.
type providerAddresses struct {
	Up   string `json:"up"`   // answers
	Down string `json:"down"` // answers 503
}

// provide is the `provider` command: it serves until its standard input ends, so that it never outlives who started it.
func provide(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("provider", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address `HOST:PORT` of the port that answers")
	pace := flags.Duration("pace", 5*time.Millisecond, "time between two chunks of a paced stream")
	if err := flags.Parse(args); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1) // a second thread would only wake up for nothing
	up, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p := &provider{answers: newAnswers(), pace: *pace}
	go p.serve(up, p.choose)
	go p.serve(down, p.fail)
	line, err := json.Marshal(providerAddresses{up.Addr().String(), down.Addr().String()})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\n", line)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

type provider struct {
	answers *answers
	pace    time.Duration
}

// choose picks the answer by the request's path and what its body asks for.
func (p *provider) choose(path, body []byte) (a answer, paced bool) {
	streamed := bytes.Contains(body, []byte(`"stream":true`))
	switch {
	case string(path) == "/v1/chat/completions" && !streamed:
		return p.answers.openAI, false
	case string(path) == "/v1/chat/completions":
		a = p.answers.openAIStream
		if bytes.Contains(body, []byte(`"include_usage":true`)) {
			a = p.answers.openAIUsage
		}
	case string(path) == "/v1/messages" && !streamed:
		return p.answers.anthropic, false
	case string(path) == "/v1/messages":
		a = p.answers.anthropicStream
	default:
		return p.answers.unknown, false
	}
	return a, bytes.Contains(body, []byte(pacedPrompt))
}

// fail picks the failure of the provider that is down.
func (p *provider) fail(_, body []byte) (a answer, paced bool) {
	if bytes.Contains(body, []byte(briefPrompt)) {
		return p.answers.brief, false
	}
	return p.answers.down, false
}

func (p *provider) serve(l net.Listener, choose func(path, body []byte) (answer, bool)) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "provider:", err)
			return
		}
		go func() {
			defer conn.Close()
			if err := p.converse(conn, choose); !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stderr, "provider:", err)
			}
		}()
	}
}

// converse answers one request after the other, until the connection ends: the error says how.
func (p *provider) converse(conn net.Conn, choose func(path, body []byte) (answer, bool)) error {
	in := &request{r: newReader(conn)}
	for {
		if err := in.next(); err != nil {
			return err
		}
		a, paced := choose(in.path, in.body)
		for i, piece := range a {
			if paced && i > 0 {
				time.Sleep(p.pace)
			}
			if _, err := conn.Write(piece); err != nil {
				return err
			}
		}
	}
}

// request is one request after the other of a connection; its memory is used again for the next.
type request struct {
	r          *reader
	path, body []byte
}

func (in *request) next() error {
	line, err := in.r.line()
	if err != nil {
		return err
	}
	method, rest, _ := bytes.Cut(line, []byte(" "))
	path, version, _ := bytes.Cut(rest, []byte(" "))
	if string(method) != "POST" || string(version) != "HTTP/1.1" {
		return fmt.Errorf("not a request that it knows: %q", line)
	}
	in.path = append(in.path[:0], path...)
	h, err := in.r.headers("")
	if err != nil {
		return err
	}
	in.body, err = in.r.body(h, in.body[:0], nil)
	return err
}
