package eventstream_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"dragoman/translate/eventstream"
)

// rawMessage writes a message with right sums around any header bytes.
func rawMessage(w io.Writer, headers []byte) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(16+len(headers)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(b, headers...)
	_, err := w.Write(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
	return err
}

// FuzzRead: any bytes in any split give the same messages, and those that the vendor's decoder reads. repair makes the sums
// right, so that the fuzzer gets behind them.
func FuzzRead(f *testing.F) {
	f.Add(sample(), 7, false)
	f.Add([]byte("\x01a\x07\x00\x01b"), 3, true)
	f.Add([]byte("\x01a\x0a"), 1, true)
	f.Fuzz(func(t *testing.T, stream []byte, n int, repair bool) {
		if repair {
			if len(stream) > eventstream.MaxHeaders {
				return
			}
			stream = withHeaders(string(stream))
		}
		n = n&0xff + 1
		want, raw, wantErr := read(maxMessage, stream)
		var pieces [][]byte
		for rest := stream; len(rest) > 0; {
			k := min(n, len(rest))
			pieces, rest = append(pieces, rest[:k]), rest[k:]
		}
		got, _, err := read(maxMessage, pieces...)
		if strings.Join(got, "\n") != strings.Join(want, "\n") || (err == nil) != (wantErr == nil) {
			t.Fatalf("pieces of %d: %v %v", n, err, wantErr)
		}
		if !bytes.HasPrefix(stream, raw) {
			t.Fatal("Raw is not what was fed")
		}
		d, in := sdk.NewDecoder(), bytes.NewReader(raw)
		for range want {
			if _, err := d.Decode(in, nil); err != nil {
				t.Fatalf("the vendor's decoder refuses what was read: %v", err)
			}
		}
	})
}
