package processor

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"dragoman/internal/wiring"
	"dragoman/processor/route"
)

// This is the only file that builds ext_proc messages. Each function gives one ProcessingResponse in wire format, ready to
// send; the comments name the fields that the numbers stand for.

// outbound is one message: head, then body, which is the value of the message's last field and is never copied.
type outbound struct{ head, body []byte }

// Members of ProcessingResponse's oneof, and its metadata.
const (
	replyRequestHeaders   = 1
	replyResponseHeaders  = 2
	replyRequestBody      = 3
	replyResponseBody     = 4
	replyRequestTrailers  = 5
	replyResponseTrailers = 6
	replyImmediate        = 7
	replyMetadata         = 8  // dynamic_metadata
	replyStreamed         = 11 // streamed_immediate_response
	replyTypedMetadata    = 13 // typed_dynamic_metadata
)

// headers is a HeaderMutation {repeated HeaderValueOption set_headers = 1; repeated string remove_headers = 2} in the making.
type headers struct{ wire []byte }

// set replaces a header or adds it. ext_proc's default would append.
func (h *headers) set(name, value string) {
	// HeaderValueOption {HeaderValue header = 1 {string key = 1; bytes raw_value = 3}; HeaderAppendAction append_action = 3}
	const overwriteOrAdd = 2
	header := 2 + sizeOf(name) + sizeOf(value)
	option := 1 + protowire.SizeBytes(header) + 2
	h.wire = appendLength(h.wire, 1, option)
	h.wire = appendLength(h.wire, 1, header)
	h.wire = appendText(h.wire, 1, name)
	h.wire = appendText(h.wire, 3, value)
	h.wire = append(h.wire, 3<<3, overwriteOrAdd)
}

func (h *headers) remove(name string) { h.wire = appendText(h.wire, 2, name) }

// newHeaders has room for what most messages set.
func newHeaders() headers { return headers{make([]byte, 0, 512)} }

// orderedHeaders answers the request headers: the mutation sends the request to its first provider, the metadata orders
// the groups of all attempts. Envoy chose a route before the filters ran; it has to choose again (clear_route_cache).
func orderedHeaders(h *headers, exchange, schema string, plan []route.Step) *outbound {
	// HeadersResponse {CommonResponse response = 1 {HeaderMutation header_mutation = 2; bool clear_route_cache = 5}}
	common := appendBytes(make([]byte, 0, len(h.wire)+8), 2, h.wire)
	common = append(common, 5<<3, 1)
	b := appendNested(make([]byte, 0, len(common)+512), replyRequestHeaders, 1, common)
	return &outbound{head: appendExchange(appendOrder(b, plan), exchange, schema)}
}

// appendOrder adds typed_dynamic_metadata["dragoman"]: Any {string type_url = 1; bytes value = 2}. Typed, because Envoy would have to
// convert a struct.
func appendOrder(b []byte, plan []route.Step) []byte {
	groups := order(plan)
	typed := 2 + sizeOf(orderType) + protowire.SizeBytes(len(groups))
	b = appendEntry(b, replyTypedMetadata, wiring.MetadataOrder, typed)
	b = appendText(b, 1, orderType)
	return appendBytes(b, 2, groups)
}

const orderType = "type.googleapis.com/envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupsOverride"

// order names the groups of the attempts: PriorityGroupsOverride {repeated PriorityGroup priority_groups = 1 {string name = 1}}.
func order(plan []route.Step) []byte {
	b := make([]byte, 0, 32*len(plan))
	for i := range plan {
		b = appendLength(b, 1, 1+sizeOf(plan[i].Group))
		b = appendText(b, 1, plan[i].Group)
	}
	return b
}

// appendExchange adds dynamic_metadata {"dragoman.exchange": {"id": exchange, "schema": schema}}: the id is what Envoy forwards
// to the attempt filter, by the schema it writes its own replies although :path is a provider's by then.
// Struct {map<string, Value> fields = 1}; Value {string string_value = 3; Struct struct_value = 5}.
func appendExchange(b []byte, exchange, schema string) []byte {
	id, kind := 1+sizeOf(exchange), 1+sizeOf(schema)                               // Values
	inner := entrySize(wiring.KeyExchange, id) + entrySize(wiring.KeySchema, kind) // Struct: two fields
	value := 1 + protowire.SizeBytes(inner)                                        // Value that holds the Struct
	b = appendLength(b, replyMetadata, entrySize(wiring.MetadataExchange, value))
	b = appendEntry(b, 1, wiring.MetadataExchange, value)
	b = appendLength(b, 5, inner)
	b = appendText(appendEntry(b, 1, wiring.KeyExchange, id), 3, exchange)
	return appendText(appendEntry(b, 1, wiring.KeySchema, kind), 3, schema)
}

// appendForgotten adds dynamic_metadata {"envoy.filters.http.jwt_authn": {name: null, …}} for the members of what jwt_authn has said. Envoy would
// send a token's claims again with every piece of both bodies.
func appendForgotten(b []byte, tokens []byte) []byte {
	var inner []byte // Struct: a field for each member
	_ = each(tokens, func(n protowire.Number, field []byte, _ uint64) error {
		if n != 1 {
			return nil
		}
		return entry(field, func(name string, _ []byte) error {
			const null = 2 // bytes of Value {null_value = 1}
			inner = append(appendEntry(inner, 1, name, null), 1<<3, 0)
			return nil
		})
	})
	value := 1 + protowire.SizeBytes(len(inner))
	b = appendLength(b, replyMetadata, entrySize(wiring.FilterJWT, value))
	b = appendEntry(b, 1, wiring.FilterJWT, value)
	return appendBytes(b, 5, inner)
}

// requestBody sends all of the request body at once; the client's own chunks are never sent back.
func requestBody(body []byte, end bool) *outbound { return streamed(replyRequestBody, body, end) }

// requestTrailers lets trailers of the client pass after the body.
func requestTrailers() *outbound { return &outbound{head: appendLength(nil, replyRequestTrailers, 0)} }

// responseHeaders answers the response headers of a request.
func responseHeaders(h *headers) *outbound {
	common := appendBytes(make([]byte, 0, len(h.wire)+8), 2, h.wire)
	return &outbound{head: appendNested(make([]byte, 0, len(common)+8), replyResponseHeaders, 1, common)}
}

// responseBody sends the next piece of the client's answer. With full duplex the pieces need not match Envoy's.
func responseBody(body []byte, end bool) *outbound { return streamed(replyResponseBody, body, end) }

func responseTrailers() *outbound {
	return &outbound{head: appendLength(nil, replyResponseTrailers, 0)}
}

// streamed is BodyResponse {CommonResponse response = 1 {BodyMutation body_mutation = 3 {StreamedBodyResponse streamed_response
// = 3 {bytes body = 1; bool end_of_stream = 2}}}}, the body last.
func streamed(kind protowire.Number, body []byte, end bool) *outbound {
	inner := 0
	if end {
		inner += 2
	}
	if len(body) > 0 {
		inner += 1 + protowire.SizeBytes(len(body))
	}
	mutation := 1 + protowire.SizeBytes(inner)
	common := 1 + protowire.SizeBytes(mutation)
	response := 1 + protowire.SizeBytes(common)
	b := appendLength(make([]byte, 0, 32), kind, response)
	b = appendLength(b, 1, common)
	b = appendLength(b, 3, mutation)
	b = appendLength(b, 3, inner)
	if end {
		b = append(b, 2<<3, 1)
	}
	if len(body) > 0 {
		b = appendLength(b, 1, len(body))
	}
	return &outbound{head: b, body: body}
}

// immediate answers the client at once: Envoy contacts no provider, and drops what one has begun.
func immediate(status int, h *headers, body []byte) *outbound {
	// ImmediateResponse {HttpStatus status = 1 {StatusCode code = 1}; HeaderMutation headers = 2; bytes body = 3; string details = 5}.
	// By the details Envoy's local_reply_config knows that the body is already in the client's schema.
	code := 1 + protowire.SizeVarint(uint64(status))
	size := 1 + protowire.SizeBytes(code) + 1 + protowire.SizeBytes(len(h.wire)) + 1 + sizeOf(wiring.DetailsPrefix)
	if len(body) > 0 {
		size += 1 + protowire.SizeBytes(len(body))
	}
	b := appendLength(make([]byte, 0, len(h.wire)+64), replyImmediate, size)
	b = appendLength(b, 1, code)
	b = protowire.AppendVarint(append(b, 1<<3), uint64(status))
	b = appendBytes(b, 2, h.wire)
	b = appendText(b, 5, wiring.DetailsPrefix)
	if len(body) > 0 {
		b = appendLength(b, 3, len(body))
	}
	return &outbound{head: b, body: body}
}

// streamedHeaders begins a streamed answer that Dragoman makes itself. It takes the place of the answer to the request's headers.
func streamedHeaders(h *headers) *outbound {
	// StreamedImmediateResponse {HttpHeaders headers_response = 1 {HeaderMap headers = 1 {repeated HeaderValue headers = 1}}}
	m := make([]byte, 0, len(h.wire))
	_ = each(h.wire, func(kind protowire.Number, option []byte, _ uint64) error { // our own bytes: well-formed
		if kind != 1 {
			return nil // nothing is there yet to be removed
		}
		return each(option, func(n protowire.Number, header []byte, _ uint64) error {
			if n == 1 {
				m = appendBytes(m, 1, header)
			}
			return nil
		})
	})
	http := appendBytes(make([]byte, 0, len(m)+8), 1, m)
	return &outbound{head: appendNested(make([]byte, 0, len(http)+16), replyStreamed, 1, http)}
}

// streamedPiece sends its next piece.
func streamedPiece(body []byte, end bool) *outbound {
	// StreamedImmediateResponse {StreamedBodyResponse body_response = 2 {bytes body = 1; bool end_of_stream = 2}}
	inner := 0
	if end {
		inner += 2
	}
	if len(body) > 0 {
		inner += 1 + protowire.SizeBytes(len(body))
	}
	b := appendLength(make([]byte, 0, 24), replyStreamed, 1+protowire.SizeBytes(inner))
	b = appendLength(b, 2, inner)
	if end {
		b = append(b, 2<<3, 1)
	}
	if len(body) > 0 {
		b = appendLength(b, 1, len(body))
	}
	return &outbound{head: b, body: body}
}

// attemptReplaced answers an attempt's request headers with a whole new request. Envoy replaces the body although the
// filter never saw one.
func attemptReplaced(h *headers, body []byte) *outbound {
	// CommonResponse {status = 1: CONTINUE_AND_REPLACE; HeaderMutation header_mutation = 2; BodyMutation body_mutation = 3 {bytes body = 1}}
	const continueAndReplace = 1
	mutation := 1 + protowire.SizeBytes(len(body))
	common := 2 + 1 + protowire.SizeBytes(len(h.wire)) + 1 + protowire.SizeBytes(mutation)
	b := appendLength(make([]byte, 0, len(h.wire)+64), replyRequestHeaders, 1+protowire.SizeBytes(common))
	b = appendLength(b, 1, common)
	b = append(b, 1<<3, continueAndReplace)
	b = appendBytes(b, 2, h.wire)
	b = appendLength(b, 3, mutation)
	return &outbound{head: appendLength(b, 1, len(body)), body: body}
}

// attemptAsIs lets an attempt's request headers pass: the body of attempt 1 is already right.
func attemptAsIs() *outbound { return &outbound{head: appendLength(nil, replyRequestHeaders, 0)} }

// attemptStatus answers an attempt's response headers; a status other than 0 replaces the provider's, so that Envoy's
// retry policy acts on it.
func attemptStatus(status int) *outbound {
	if status == 0 {
		return &outbound{head: appendLength(nil, replyResponseHeaders, 0)}
	}
	var h headers
	h.set(":status", strconv.Itoa(status))
	return responseHeaders(&h)
}

// attemptElsewhere has Envoy make another attempt whatever the status of this one, by a new order.
func attemptElsewhere(plan []route.Step) *outbound {
	var h headers
	h.set(wiring.HeaderRetry, "1")
	out := responseHeaders(&h)
	out.head = appendOrder(out.head, plan)
	return out
}

// attemptRefused answers an attempt that is not made. Its status is none that health counts against the provider, who was not asked.
func attemptRefused(again bool) *outbound {
	const failedDependency = 424
	var h headers
	if again {
		h.set(wiring.HeaderRetry, "1")
	}
	return immediate(failedDependency, &h, nil)
}

// attemptBody lets one chunk of an attempt's answer pass. Outside full duplex each chunk needs its own answer.
func attemptBody() *outbound { return &outbound{head: appendLength(nil, replyResponseBody, 0)} }

// appendLength begins a length-delimited field of size bytes.
func appendLength(b []byte, n protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.BytesType), uint64(size))
}

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return append(appendLength(b, n, len(v)), v...)
}

func appendText(b []byte, n protowire.Number, v string) []byte {
	return append(appendLength(b, n, len(v)), v...)
}

// appendNested writes a message field that holds one message field.
func appendNested(b []byte, outer, inner protowire.Number, v []byte) []byte {
	return appendBytes(appendLength(b, outer, 1+protowire.SizeBytes(len(v))), inner, v)
}

// appendEntry begins an entry of a map field, up to the length of its value, which has size bytes.
func appendEntry(b []byte, n protowire.Number, key string, size int) []byte {
	return appendLength(appendText(appendLength(b, n, entryContent(key, size)), 1, key), 2, size)
}

// entryContent is the size of a map entry's content, entrySize that of the field: numbers below 16 have one byte.
func entryContent(key string, size int) int { return 1 + sizeOf(key) + 1 + protowire.SizeBytes(size) }
func entrySize(key string, size int) int    { return 1 + protowire.SizeBytes(entryContent(key, size)) }

// sizeOf is the size of a length and its text.
func sizeOf(v string) int { return protowire.SizeBytes(len(v)) }

func asFloat(bits uint64) float64 { return math.Float64frombits(bits) }
