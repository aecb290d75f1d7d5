package translatetest

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// RunProvider holds a codec without a client's side against the contract of translate.Provider, with the cases of its
// schema.
func RunProvider(t *testing.T, p translate.Provider) {
	cases, err := Cases(p.Schema())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("faults are read", func(t *testing.T) { heardFaults(t, p) })
	for i := range cases {
		k := &cases[i]
		t.Run(k.Name, func(t *testing.T) {
			t.Run("answer", func(t *testing.T) { readAnswer(t, p, k) })
			t.Run("stream", func(t *testing.T) { readStream(t, p, k) })
			t.Run("cut stream", func(t *testing.T) { readCutStream(t, p, k) })
			t.Run("tap", func(t *testing.T) { tap(t, p, k) })
		})
	}
}

// readAnswer: a whole answer is read and peeked alike; cut anywhere it is a fault.
func readAnswer(t *testing.T, p translate.Provider, k *Case) {
	if k.Status != 200 {
		f := p.DecodeFault(k.Status, noHeader, k.Answer)
		if f.Status != k.Status || !f.FromProvider() || f.Message == "" || strings.Contains(f.Message, "sk-") {
			t.Errorf("got %+v", f)
		}
		return
	}
	r, err := p.DecodeResponse(k.Answer)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := p.PeekResponse(k.Answer)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "peeked", seen, translate.SeenOf(r))
	whole := bytes.TrimSpace(k.Answer)
	for n := range len(whole) {
		_, err := p.DecodeResponse(whole[:n:n])
		mustFault(t, err, "cut answer")
		_, err = p.PeekResponse(whole[:n:n])
		mustFault(t, err, "cut answer, peeked")
	}
}

// heardFaults: whatever a provider answers is classified, without its secrets.
func heardFaults(t *testing.T, p translate.Provider) {
	for _, status := range []int{0, -1, 200, 301, 400, 401, 403, 404, 408, 413, 424, 429, 500, 502, 503, 504, 529, 999, math.MaxInt32} {
		for _, body := range hostileFaults() {
			f := p.DecodeFault(status, noHeader, []byte(body))
			if f == nil || f.Message == "" || f.Status != status {
				t.Fatalf("%d %.50q: %+v", status, body, f)
			}
			if len(f.Message) > 1000 || len(f.Type) > 100 || len(f.Code) > 200 || strings.Contains(f.Message, "abcdefghijkl") {
				t.Errorf("%d %.50q: long, or with a secret: %+v", status, body, f)
			}
		}
	}
}

// readLines decodes a stream cut into pieces at the given offsets and shows each event as a line.
func readLines(p translate.Provider, stream []byte, cuts ...int) (lines []string, err error) {
	d := p.NewDecoder(maxEvent)
	emit := func(ev *chat.Event) { lines = append(lines, line(ev)) }
	from := 0
	for _, to := range append(cuts, len(stream)) {
		piece := append([]byte(nil), stream[from:to]...)
		if err := d.Decode(piece, emit); err != nil {
			return lines, err
		}
		for i := range piece {
			piece[i] = '\n' // an event must not hold the caller's bytes
		}
		from = to
	}
	return lines, d.Close(emit)
}

// readStream: each byte is a place where the stream may be cut in two, and one byte at a time is well, too. What is read of a
// stream can be replayed as one.
func readStream(t *testing.T, p translate.Provider, k *Case) {
	want, err := readLines(p, k.Stream)
	if err != nil {
		t.Fatal(err)
	}
	for at := range len(k.Stream) {
		got, err := readLines(p, k.Stream, at)
		if err != nil {
			t.Fatalf("cut at %d: %v", at, err)
		}
		same(t, fmt.Sprintf("cut at %d", at), got, want)
	}
	every := make([]int, len(k.Stream))
	for i := range every {
		every[i] = i
	}
	got, err := readLines(p, k.Stream, every...)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "byte by byte", got, want)
	if k.Status != 200 {
		return
	}
	acc, d := chat.NewAccumulator(1<<20), p.NewDecoder(maxEvent)
	if err := d.Decode(k.Stream, acc.Add); err != nil {
		t.Fatal(err)
	}
	first, ok := acc.Response()
	if !ok {
		t.Fatal(acc.Fault())
	}
	again := chat.NewAccumulator(1 << 20)
	chat.Replay(first, again.Add)
	second, _ := again.Response()
	same(t, "replayed", second, first)
}

// readCutStream: a stream that ends anywhere before the event that makes the answer whole is a fault (D118), for the decoder
// and for the tap.
func readCutStream(t *testing.T, p translate.Provider, k *Case) {
	if k.Status != 200 {
		return
	}
	for n := range len(k.Stream) {
		lines, err := readLines(p, k.Stream[:n:n])
		tap := p.NewTap(maxEvent, Answer)
		out, tapErr := tap.Write(nil, k.Stream[:n:n])
		if tapErr == nil {
			out, tapErr = tap.Close(out)
		}
		if !bytes.HasPrefix(k.Stream, out) {
			t.Fatalf("cut at %d: the tap passed %q", n, out)
		}
		if (err == nil) != (tapErr == nil) {
			t.Fatalf("cut at %d: the decoder says %v, the tap %v", n, err, tapErr)
		}
		if err == nil { // all that is missing is the usage
			if !tap.Seen().End || tap.Seen().Finish == "" {
				t.Fatalf("cut at %d is a clean end: %q", n, lines)
			}
			continue
		}
		mustFault(t, err, "cut stream")
		mustFault(t, tapErr, "cut tap")
	}
}
