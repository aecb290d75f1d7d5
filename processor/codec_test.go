package processor

import (
	"testing"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	priorityv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/priority_group/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/google/go-cmp/cmp"

	"dragoman/internal/wiring"
	"dragoman/processor/route"
)

func set(name, value string) *mutationv3.HeaderValueOption {
	return &mutationv3.HeaderValueOption{
		Header:       &mutationv3.HeaderValue{Key: name, RawValue: []byte(value)},
		AppendAction: mutationv3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func streamedBody(body string, end bool) *extproc.BodyResponse {
	return &extproc.BodyResponse{Response: &extproc.CommonResponse{BodyMutation: &extproc.BodyMutation{
		Mutation: &extproc.BodyMutation_StreamedResponse{StreamedResponse: &extproc.StreamedBodyResponse{Body: []byte(body), EndOfStream: end}},
	}}}
}

func streamedImmediately(body string, end bool) *extproc.ProcessingResponse {
	return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_StreamedImmediateResponse{
		StreamedImmediateResponse: &extproc.StreamedImmediateResponse{Response: &extproc.StreamedImmediateResponse_BodyResponse{
			BodyResponse: &extproc.StreamedBodyResponse{Body: []byte(body), EndOfStream: end},
		}},
	}}
}

// TestRepliesAreWhatTheGeneratedTypesSay reads every message that reply.go writes by hand with the generated types.
func TestRepliesAreWhatTheGeneratedTypesSay(t *testing.T) {
	long := string(make([]byte, 300)) // its length takes two bytes
	mutation := func() *headers {
		h := newHeaders()
		h.set("x-a", "1")
		h.set("x-long", long)
		h.remove("x-b")
		return &h
	}
	wantMutation := &extproc.HeaderMutation{SetHeaders: []*mutationv3.HeaderValueOption{set("x-a", "1"), set("x-long", long)}, RemoveHeaders: []string{"x-b"}}
	order, err := anypb.New(&priorityv3.PriorityGroupsOverride{PriorityGroups: []*priorityv3.PriorityGroup{{Name: "a"}, {Name: "b/" + long}}})
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := structpb.NewStruct(map[string]any{wiring.MetadataExchange: map[string]any{wiring.KeyExchange: "e1", wiring.KeySchema: "openai"}})
	if err != nil {
		t.Fatal(err)
	}
	said, _ := structpb.NewStruct(map[string]any{"0123456789ab": map[string]any{"sub": long}, "failed:" + long: map[string]any{"code": 3}})
	tokens, err := proto.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	forgetting := &extproc.ProcessingResponse{
		Response: &extproc.ProcessingResponse_RequestHeaders{RequestHeaders: &extproc.HeadersResponse{
			Response: &extproc.CommonResponse{HeaderMutation: wantMutation, ClearRouteCache: true},
		}},
		TypedDynamicMetadata: map[string]*anypb.Any{wiring.MetadataOrder: order},
	}
	forgetting.DynamicMetadata, _ = structpb.NewStruct(map[string]any{
		wiring.MetadataExchange: map[string]any{wiring.KeyExchange: "e1", wiring.KeySchema: "openai"},
		wiring.FilterJWT:        map[string]any{"0123456789ab": nil, "failed:" + long: nil},
	})
	for name, c := range map[string]struct {
		got  *outbound
		want *extproc.ProcessingResponse
	}{
		"streamed headers": {streamedHeaders(mutation()), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_StreamedImmediateResponse{
			StreamedImmediateResponse: &extproc.StreamedImmediateResponse{Response: &extproc.StreamedImmediateResponse_HeadersResponse{
				HeadersResponse: &extproc.HttpHeaders{Headers: &mutationv3.HeaderMap{Headers: []*mutationv3.HeaderValue{
					{Key: "x-a", RawValue: []byte("1")}, {Key: "x-long", RawValue: []byte(long)},
				}}},
			}},
		}}},
		"streamed piece":       {streamedPiece([]byte(long), false), streamedImmediately(long, false)},
		"streamed, last piece": {streamedPiece([]byte("x"), true), streamedImmediately("x", true)},
		"streamed, end alone":  {streamedPiece(nil, true), streamedImmediately("", true)},
		"ordered": {orderedHeaders(mutation(), "e1", "openai", []route.Step{{Group: "a"}, {Group: "b/" + long}}), &extproc.ProcessingResponse{
			Response: &extproc.ProcessingResponse_RequestHeaders{RequestHeaders: &extproc.HeadersResponse{
				Response: &extproc.CommonResponse{HeaderMutation: wantMutation, ClearRouteCache: true},
			}},
			TypedDynamicMetadata: map[string]*anypb.Any{wiring.MetadataOrder: order}, DynamicMetadata: exchange,
		}},
		"request body":     {requestBody([]byte(long), true), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestBody{RequestBody: streamedBody(long, true)}}},
		"response body":    {responseBody([]byte("x"), false), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseBody{ResponseBody: streamedBody("x", false)}}},
		"empty end":        {responseBody(nil, true), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseBody{ResponseBody: streamedBody("", true)}}},
		"request trailers": {requestTrailers(), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestTrailers{RequestTrailers: &extproc.TrailersResponse{}}}},
		"response trailers": {responseTrailers(), &extproc.ProcessingResponse{
			Response: &extproc.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extproc.TrailersResponse{}}}},
		"response headers": {responseHeaders(mutation()), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseHeaders{
			ResponseHeaders: &extproc.HeadersResponse{Response: &extproc.CommonResponse{HeaderMutation: wantMutation}},
		}}},
		"immediate": {immediate(429, mutation(), []byte(long)), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ImmediateResponse{
			ImmediateResponse: &extproc.ImmediateResponse{
				Status: &typev3.HttpStatus{Code: 429}, Headers: wantMutation, Body: []byte(long), Details: wiring.DetailsPrefix,
			},
		}}},
		"attempt replaced": {attemptReplaced(mutation(), []byte(long)), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{
			RequestHeaders: &extproc.HeadersResponse{Response: &extproc.CommonResponse{
				Status: extproc.CommonResponse_CONTINUE_AND_REPLACE, HeaderMutation: wantMutation,
				BodyMutation: &extproc.BodyMutation{Mutation: &extproc.BodyMutation_Body{Body: []byte(long)}},
			}},
		}}},
		"ordered, and a token forgotten": {&outbound{head: appendForgotten(orderedHeaders(mutation(), "e1", "openai", []route.Step{{Group: "a"}, {Group: "b/" + long}}).head, tokens)}, forgetting},
		"attempt as is":                  {attemptAsIs(), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{RequestHeaders: &extproc.HeadersResponse{}}}},
		"attempt status": {attemptStatus(503), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extproc.HeadersResponse{
			Response: &extproc.CommonResponse{HeaderMutation: &extproc.HeaderMutation{SetHeaders: []*mutationv3.HeaderValueOption{set(":status", "503")}}},
		}}}},
		"attempt status kept": {attemptStatus(0), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extproc.HeadersResponse{}}}},
		"attempt body":        {attemptBody(), &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseBody{ResponseBody: &extproc.BodyResponse{}}}},
	} {
		buffers, err := NewCodec().Marshal(c.got)
		if err != nil {
			t.Fatal(err)
		}
		got := &extproc.ProcessingResponse{}
		if err := proto.Unmarshal(buffers.Materialize(), got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestMessagesAreReadAsTheGeneratedTypesWriteThem covers every member that the processor reads.
func TestMessagesAreReadAsTheGeneratedTypesWriteThem(t *testing.T) {
	meta, _ := structpb.NewStruct(map[string]any{"other": "x", wiring.KeyExchange: "e7"})
	attributes, _ := structpb.NewStruct(map[string]any{wiring.AttributeCluster: "a/b", wiring.AttributeAttempts: 3, "else": true})
	hs := &extproc.HttpHeaders{EndOfStream: true, Headers: &mutationv3.HeaderMap{Headers: []*mutationv3.HeaderValue{
		{Key: ":path", RawValue: []byte("/v1")}, {Key: "x-old", Value: "plain"}, {Key: "x-empty"},
	}}}
	var in inbound
	read := func(m *extproc.ProcessingRequest) inbound {
		t.Helper()
		if err := NewCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(wired(t, []*extproc.ProcessingRequest{m})[0])}, &in); err != nil {
			t.Fatal(err)
		}
		return in
	}
	got := read(&extproc.ProcessingRequest{
		Request:         &extproc.ProcessingRequest_RequestHeaders{RequestHeaders: hs},
		MetadataContext: &mutationv3.Metadata{FilterMetadata: map[string]*structpb.Struct{"z": attributes, wiring.MetadataExchange: meta}},
		Attributes:      map[string]*structpb.Struct{wiring.AttributesKey: attributes},
	})
	tokens, _ := structpb.NewStruct(map[string]any{"0123456789ab": map[string]any{"sub": "ada", wiring.KeyExchange: "e8"}})
	san, _ := structpb.NewStruct(map[string]any{wiring.AttributeURISAN: "spiffe://a/b", wiring.AttributeDNSSAN: "b.a"})
	peer := read(&extproc.ProcessingRequest{
		Request:         &extproc.ProcessingRequest_RequestHeaders{RequestHeaders: hs},
		MetadataContext: &mutationv3.Metadata{FilterMetadata: map[string]*structpb.Struct{wiring.FilterJWT: tokens}},
		Attributes:      map[string]*structpb.Struct{wiring.AttributesKey: san},
	})
	read(&extproc.ProcessingRequest{Request: &extproc.ProcessingRequest_RequestHeaders{RequestHeaders: hs}}) // nothing of it stays
	if in.peer.tokens != nil || in.peer.uri != "" || peer.exchange != "" || peer.peer.uri != "spiffe://a/b" || peer.peer.dns != "b.a" {
		t.Errorf("read %+v, then %+v", peer, in.peer)
	}
	if claims := (&structpb.Struct{}); proto.Unmarshal(peer.peer.tokens, claims) != nil || !proto.Equal(claims, tokens) {
		t.Errorf("the tokens are %v", claims)
	}
	want := []field{{":path", "/v1"}, {"x-old", "plain"}, {"x-empty", ""}}
	if got.kind != requestHeadersMessage || !got.last || got.exchange != "e7" || got.cluster != "a/b" || got.attempts != 3 || len(got.headers) != 3 {
		t.Fatalf("read %+v", got)
	}
	for i := range want {
		if got.headers[i] != want[i] {
			t.Errorf("header %d is %q, want %q", i, got.headers[i], want[i])
		}
	}
	if got := read(&extproc.ProcessingRequest{Request: &extproc.ProcessingRequest_ResponseBody{ResponseBody: &extproc.HttpBody{Body: []byte("abc"), EndOfStream: true}}}); got.kind != responseBodyMessage ||
		string(got.body) != "abc" || !got.last || len(got.headers) != 0 || got.exchange != "" || cap(got.body) != 3 {
		t.Errorf("read %+v", got)
	}
	for kind, m := range map[messageKind]*extproc.ProcessingRequest{
		requestBodyMessage:      {Request: &extproc.ProcessingRequest_RequestBody{RequestBody: &extproc.HttpBody{}}},
		responseHeadersMessage:  {Request: &extproc.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extproc.HttpHeaders{}}},
		requestTrailersMessage:  {Request: &extproc.ProcessingRequest_RequestTrailers{RequestTrailers: &extproc.HttpTrailers{}}},
		responseTrailersMessage: {Request: &extproc.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extproc.HttpTrailers{}}},
		otherMessage:            {},
	} {
		if got := read(m); got.kind != kind || got.last || len(got.body) != 0 {
			t.Errorf("read %+v, want kind %d", got, kind)
		}
	}
}

// FuzzInbound: whatever arrives, decoding neither panics nor reads what the generated types would refuse differently.
func FuzzInbound(f *testing.F) {
	for _, m := range recorded(f, "/v1/chat/completions", `{"model":"m"}`, `{}`, "a/b") {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var in inbound
		err := in.decode(b)
		m := &extproc.ProcessingRequest{}
		if proto.Unmarshal(b, m) != nil || err != nil {
			return
		}
		if body := m.GetRequestBody(); body != nil && in.kind == requestBodyMessage && m.GetResponseBody() == nil &&
			len(in.body) > len(b) {
			t.Errorf("body of %d bytes out of a message of %d", len(in.body), len(b))
		}
	})
}
