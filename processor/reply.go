package processor

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"dragoman/internal/wiring"
	"dragoman/processor/route"
)

// This is the only file that builds ext_proc messages. Each function gives one message, ready to send.

// headers is a header mutation in the making.
type headers struct{ m extproc.HeaderMutation }

// set replaces a header or adds it. ext_proc's default would append.
func (h *headers) set(name, value string) {
	h.m.SetHeaders = append(h.m.SetHeaders, &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, RawValue: []byte(value)},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	})
}

func (h *headers) remove(name string) { h.m.RemoveHeaders = append(h.m.RemoveHeaders, name) }

// orderedHeaders answers the request headers: the mutation sends the request to its first provider, the metadata orders
// the groups of all attempts. Envoy chose a route before the filters ran; it has to choose again.
func orderedHeaders(h *headers, exchange string, plan []route.Step) *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{
		Response: &extproc.ProcessingResponse_RequestHeaders{RequestHeaders: &extproc.HeadersResponse{
			Response: &extproc.CommonResponse{HeaderMutation: &h.m, ClearRouteCache: true},
		}},
		// Typed: Envoy would have to convert a struct.
		TypedDynamicMetadata: map[string]*anypb.Any{wiring.MetadataOrder: order(plan)},
		DynamicMetadata:      object(wiring.MetadataExchange, structpb.NewStructValue(object(wiring.KeyExchange, structpb.NewStringValue(exchange)))),
	}
}

// order names the groups of the attempts: a PriorityGroupsOverride, written by hand because every request needs one.
func order(plan []route.Step) *anypb.Any {
	const groupsField, nameField = 1, 1 // PriorityGroupsOverride.priority_groups, PriorityGroup.name
	value := make([]byte, 0, 32*len(plan))
	for i := range plan {
		name := plan[i].Group
		value = protowire.AppendTag(value, groupsField, protowire.BytesType)
		value = protowire.AppendVarint(value, uint64(protowire.SizeTag(nameField)+protowire.SizeBytes(len(name))))
		value = protowire.AppendTag(value, nameField, protowire.BytesType)
		value = protowire.AppendString(value, name)
	}
	return &anypb.Any{TypeUrl: orderType, Value: value}
}

const orderType = "type.googleapis.com/envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupsOverride"

func object(key string, v *structpb.Value) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{key: v}}
}

// requestBody sends all of the request body at once; the client's own chunks are never sent back.
func requestBody(body []byte, end bool) *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestBody{RequestBody: streamed(body, end)}}
}

// requestTrailers lets trailers of the client pass after the body.
func requestTrailers() *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestTrailers{RequestTrailers: &extproc.TrailersResponse{}}}
}

// responseHeaders answers the response headers of a request.
func responseHeaders(h *headers) *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extproc.HeadersResponse{
		Response: &extproc.CommonResponse{HeaderMutation: &h.m},
	}}}
}

// responseBody sends the next piece of the client's answer. With full duplex the pieces need not match Envoy's.
func responseBody(body []byte, end bool) *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseBody{ResponseBody: streamed(body, end)}}
}

func responseTrailers() *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extproc.TrailersResponse{}}}
}

func streamed(body []byte, end bool) *extproc.BodyResponse {
	return &extproc.BodyResponse{Response: &extproc.CommonResponse{
		BodyMutation: &extproc.BodyMutation{Mutation: &extproc.BodyMutation_StreamedResponse{
			StreamedResponse: &extproc.StreamedBodyResponse{Body: body, EndOfStream: end},
		}},
	}}
}

// immediate answers the client at once: Envoy contacts no provider, and drops what one has begun.
func immediate(status int, h *headers, body []byte) *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ImmediateResponse{ImmediateResponse: &extproc.ImmediateResponse{
		Status:  &typev3.HttpStatus{Code: typev3.StatusCode(status)},
		Headers: &h.m,
		Body:    body,
		Details: wiring.DetailsPrefix, // by it Envoy's local_reply_config knows that the body is already the client's schema
	}}}
}

// attemptReplaced answers an attempt's request headers with a whole new request. Envoy replaces the body although the
// filter never saw one.
func attemptReplaced(h *headers, body []byte) *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{RequestHeaders: &extproc.HeadersResponse{
		Response: &extproc.CommonResponse{
			Status:         extproc.CommonResponse_CONTINUE_AND_REPLACE,
			HeaderMutation: &h.m,
			BodyMutation:   &extproc.BodyMutation{Mutation: &extproc.BodyMutation_Body{Body: body}},
		},
	}}}
}

// attemptAsIs lets an attempt's request headers pass: the body of attempt 1 is already right.
func attemptAsIs() *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{RequestHeaders: &extproc.HeadersResponse{}}}
}

// attemptStatus answers an attempt's response headers; a status other than 0 replaces the provider's, so that Envoy's
// retry policy acts on it.
func attemptStatus(status int) *extproc.ProcessingResponse {
	r := &extproc.HeadersResponse{}
	if status != 0 {
		var h headers
		h.set(":status", strconv.Itoa(status))
		r.Response = &extproc.CommonResponse{HeaderMutation: &h.m}
	}
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseHeaders{ResponseHeaders: r}}
}

// attemptBody lets one chunk of an attempt's answer pass. Outside full duplex each chunk needs its own answer.
func attemptBody() *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseBody{ResponseBody: &extproc.BodyResponse{}}}
}
