package processor

import (
	"errors"
	"unsafe"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"dragoman/internal/wiring"
)

// Every request is at least four ext_proc messages each way. Decoding them into the generated types costs some forty small
// allocations a message (two strings and a struct for each header), so the two messages that matter are read and written on
// the wire by hand. codec_test.go holds them against the generated types.

// messageKind is which member of ProcessingRequest's oneof a message holds.
type messageKind uint8

const (
	otherMessage messageKind = iota
	requestHeadersMessage
	responseHeadersMessage
	requestBodyMessage
	responseBodyMessage
	requestTrailersMessage
	responseTrailersMessage
)

// inbound is one ProcessingRequest, as far as the processor reads it. Strings and the body share one buffer, which belongs
// to this message and is never written to.
type inbound struct {
	kind     messageKind
	headers  []field
	body     []byte
	last     bool   // end_of_stream
	exchange string // of the dynamic metadata
	cluster  string // of the attributes
	attempts int    // of the attributes
	peer     peer   // of the metadata and the attributes
}

// peer is what Envoy has found out about who calls, beside the headers.
type peer struct {
	tokens   []byte // google.protobuf.Struct of wiring.FilterJWT
	uri, dns string // of the client's certificate
}

// field is one HTTP header.
type field struct{ name, value string }

// Codec is gRPC's protobuf codec but for the processor's own two messages. A server that Register is called on needs it.
type Codec struct{ encoding.CodecV2 }

// NewCodec wraps gRPC's own.
func NewCodec() Codec { return Codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal reads a message.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*inbound)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	// gRPC takes its buffers back.
	return in.decode(data.Materialize())
}

// Marshal writes a message.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	out, ok := v.(*outbound)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	if len(out.body) == 0 {
		return mem.BufferSlice{mem.SliceBuffer(out.head)}, nil
	}
	return mem.BufferSlice{mem.SliceBuffer(out.head), mem.SliceBuffer(out.body)}, nil
}

var errWire = errors.New("malformed ProcessingRequest")

// Field numbers of envoy/service/ext_proc/v3/external_processor.proto and what it is made of.
const (
	requestMetadata   = 8 // ProcessingRequest.metadata_context
	requestAttributes = 9 // ProcessingRequest.attributes
)

// kinds are the numbers of ProcessingRequest's oneof.
var kinds = [...]messageKind{
	2: requestHeadersMessage, 3: responseHeadersMessage, 4: requestBodyMessage, 5: responseBodyMessage,
	6: requestTrailersMessage, 7: responseTrailersMessage,
}

func (in *inbound) decode(b []byte) error {
	*in = inbound{headers: in.headers[:0]}
	return each(b, func(n protowire.Number, v []byte, _ uint64) error {
		switch {
		case n >= 2 && n <= 7:
			in.kind = kinds[n]
			return in.decodeContent(v)
		case n == requestMetadata:
			return in.decodeMetadata(v)
		case n == requestAttributes:
			return in.decodeAttributes(v)
		}
		return nil
	})
}

// decodeContent reads HttpHeaders {HeaderMap headers = 1; bool end_of_stream = 3} or HttpBody {bytes body = 1; bool
// end_of_stream = 2}. Trailers have nothing that is read.
func (in *inbound) decodeContent(b []byte) error {
	headers := in.kind == requestHeadersMessage || in.kind == responseHeadersMessage
	body := in.kind == requestBodyMessage || in.kind == responseBodyMessage
	return each(b, func(n protowire.Number, v []byte, x uint64) error {
		switch {
		case headers && n == 1:
			return in.decodeHeaders(v)
		case headers && n == 3, body && n == 2:
			in.last = x != 0
		case body && n == 1:
			in.body = v[:len(v):len(v)]
		}
		return nil
	})
}

// decodeHeaders reads HeaderMap {repeated HeaderValue headers = 1 {string key = 1; string value = 2; bytes raw_value = 3}}.
func (in *inbound) decodeHeaders(b []byte) error {
	return each(b, func(n protowire.Number, v []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		var f field
		err := each(v, func(n protowire.Number, v []byte, _ uint64) error {
			switch n {
			case 1:
				f.name = view(v)
			case 2, 3:
				f.value = view(v)
			}
			return nil
		})
		in.headers = append(in.headers, f)
		return err
	})
}

// decodeMetadata reads Metadata {map<string, Struct> filter_metadata = 1} for the exchange's id and what is known of
// tokens.
func (in *inbound) decodeMetadata(b []byte) error {
	return each(b, func(n protowire.Number, v []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		return entry(v, func(name string, v []byte) error {
			switch name {
			case wiring.MetadataExchange:
				return in.decodeStruct(v)
			case wiring.FilterJWT:
				in.peer.tokens = v
			}
			return nil
		})
	})
}

// decodeAttributes reads one entry of map<string, Struct> attributes.
func (in *inbound) decodeAttributes(b []byte) error {
	return entry(b, func(_ string, v []byte) error { return in.decodeStruct(v) })
}

// decodeStruct reads Struct {map<string, Value> fields = 1} for the values that are known.
func (in *inbound) decodeStruct(b []byte) error {
	return each(b, func(n protowire.Number, v []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		return entry(v, func(name string, v []byte) error {
			return each(v, func(n protowire.Number, v []byte, x uint64) error {
				const numberValue, stringValue = 2, 3
				switch {
				case name == wiring.KeyExchange && n == stringValue:
					in.exchange = view(v)
				case name == wiring.AttributeCluster && n == stringValue:
					in.cluster = view(v)
				case name == wiring.AttributeAttempts && n == numberValue:
					in.attempts = int(asFloat(x))
				case name == wiring.AttributeURISAN && n == stringValue:
					in.peer.uri = view(v)
				case name == wiring.AttributeDNSSAN && n == stringValue:
					in.peer.dns = view(v)
				}
				return nil
			})
		})
	})
}

// each calls f with every field of a message: v of a length-delimited one, x of any other.
func each(b []byte, f func(n protowire.Number, v []byte, x uint64) error) error {
	for len(b) > 0 {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return errWire
		}
		b = b[size:]
		var v []byte
		var x uint64
		switch t {
		case protowire.BytesType:
			v, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			x, size = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			x, size = protowire.ConsumeFixed64(b)
		default:
			size = protowire.ConsumeFieldValue(n, t, b)
		}
		if size < 0 {
			return errWire
		}
		if err := f(n, v, x); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// entry reads one entry of a map with string keys: {string key = 1; Message value = 2}.
func entry(b []byte, f func(key string, value []byte) error) error {
	var key string
	var value []byte
	err := each(b, func(n protowire.Number, v []byte, _ uint64) error {
		switch n {
		case 1:
			key = view(v)
		case 2:
			value = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	return f(key, value)
}

// view is b as a string without a copy.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
