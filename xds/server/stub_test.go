package server_test

import (
	"io"
	"strings"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	priorityv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/priority_group/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"dragoman/internal/wiring"
)

// plan is what the stub processor does with one request.
type plan struct {
	order     []string          // names of groups
	set       map[string]string // request headers
	body      string            // "" passes the client's own
	immediate *extprocv3.ImmediateResponse
	fail      error  // the stream ends with it
	schema    string // the client's, for Envoy's own replies
	hold      bool   // of an attempt: answer the response headers when the first body chunk has come
	leave     bool   // of an attempt: end the stream once the request is answered
}

// stub is the processor's place in these tests: it orders every request as planned and keeps what Envoy told it.
type stub struct {
	mu       sync.Mutex
	request  func(headers map[string]string) plan
	attempt  func(cluster string, n int) plan
	requests []*seen
	attempts []*seen
	entries  []*accesslogdatav3.HTTPAccessLogEntry
}

// seen is one ext_proc stream.
type seen struct {
	cluster  string // of an attempt
	headers  map[string]string
	response map[string]string
	attrs    map[string]*structpb.Struct
	meta     *corev3.Metadata
	bytes    int
}

func headerMap(h *corev3.HeaderMap) map[string]string {
	m := map[string]string{}
	for _, v := range h.GetHeaders() {
		m[v.GetKey()] = string(v.GetRawValue())
	}
	return m
}

func setHeaders(m map[string]string) []*corev3.HeaderValueOption {
	var list []*corev3.HeaderValueOption
	for k, v := range m {
		list = append(list, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: k, RawValue: []byte(v)},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return list
}

func (s *stub) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	if md.Get(wiring.MetaFilter)[0] == wiring.FilterAttempt {
		return s.serveAttempt(stream, md.Get(wiring.MetaCluster)[0])
	}
	return s.serveRequest(stream)
}

func (s *stub) serveRequest(stream extprocv3.ExternalProcessor_ProcessServer) error {
	sn := &seen{}
	s.mu.Lock()
	s.requests = append(s.requests, sn)
	s.mu.Unlock()
	var p plan
	var body strings.Builder
	for {
		req, err := stream.Recv()
		if err != nil {
			return nil
		}
		end := s.note(sn, req, &body)
		if h := req.GetRequestHeaders(); h != nil {
			s.mu.Lock()
			p = s.request(sn.headers)
			s.mu.Unlock()
		}
		switch {
		case p.fail != nil:
			return p.fail
		case end:
			err = s.answer(stream, p, body.String())
		default:
			err = pass(stream, req)
		}
		if err != nil {
			return nil
		}
	}
}

// note keeps what a message says, and tells whether it is the request's last.
func (s *stub) note(sn *seen, req *extprocv3.ProcessingRequest, body *strings.Builder) (end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r := req.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		sn.headers = headerMap(r.RequestHeaders.GetHeaders())
		return r.RequestHeaders.GetEndOfStream()
	case *extprocv3.ProcessingRequest_RequestBody:
		body.Write(r.RequestBody.GetBody())
		sn.bytes += len(r.RequestBody.GetBody())
		return r.RequestBody.GetEndOfStream()
	case *extprocv3.ProcessingRequest_RequestTrailers:
		return true
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		sn.response, sn.attrs = headerMap(r.ResponseHeaders.GetHeaders()), req.GetAttributes()
	}
	return false
}

// pass lets a response through as it is.
func pass(stream extprocv3.ExternalProcessor_ProcessServer, req *extprocv3.ProcessingRequest) error {
	switch r := req.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		return stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{
			ResponseHeaders: &extprocv3.HeadersResponse{},
		}})
	case *extprocv3.ProcessingRequest_ResponseBody:
		return stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{
			ResponseBody: bodyResponse(r.ResponseBody.GetBody(), r.ResponseBody.GetEndOfStream()),
		}})
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		return stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseTrailers{
			ResponseTrailers: &extprocv3.TrailersResponse{},
		}})
	}
	return nil
}

func bodyResponse(b []byte, end bool) *extprocv3.BodyResponse {
	return &extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{BodyMutation: &extprocv3.BodyMutation{
		Mutation: &extprocv3.BodyMutation_StreamedResponse{StreamedResponse: &extprocv3.StreamedBodyResponse{Body: b, EndOfStream: end}},
	}}}
}

func (s *stub) answer(stream extprocv3.ExternalProcessor_ProcessServer, p plan, body string) error {
	if p.immediate != nil {
		return stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{ImmediateResponse: p.immediate}})
	}
	if p.body != "" {
		body = p.body
	}
	set := map[string]string{}
	for k, v := range p.set {
		set[k] = v
	}
	head := &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
		RequestHeaders: &extprocv3.HeadersResponse{Response: &extprocv3.CommonResponse{
			HeaderMutation:  &extprocv3.HeaderMutation{SetHeaders: setHeaders(set)},
			ClearRouteCache: true,
		}},
	}}
	if p.order != nil {
		over := &priorityv3.PriorityGroupsOverride{}
		for _, name := range p.order {
			over.PriorityGroups = append(over.PriorityGroups, &priorityv3.PriorityGroup{Name: name})
		}
		typed, _ := anypb.New(over)
		head.TypedDynamicMetadata = map[string]*anypb.Any{wiring.MetadataOrder: typed}
		about := map[string]any{wiring.KeyExchange: "exchange-1"}
		if p.schema != "" {
			about[wiring.KeySchema] = p.schema
		}
		head.DynamicMetadata, _ = structpb.NewStruct(map[string]any{wiring.MetadataExchange: about})
	}
	if err := stream.Send(head); err != nil {
		return err
	}
	const piece = 64 << 10
	for len(body) > piece {
		if err := stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestBody{RequestBody: bodyResponse([]byte(body[:piece]), false)}}); err != nil {
			return err
		}
		body = body[piece:]
	}
	return stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestBody{RequestBody: bodyResponse([]byte(body), true)}})
}

func (s *stub) serveAttempt(stream extprocv3.ExternalProcessor_ProcessServer, cluster string) error {
	sn := &seen{cluster: cluster}
	s.mu.Lock()
	s.attempts = append(s.attempts, sn)
	p := s.attempt(cluster, len(s.attempts))
	s.mu.Unlock()
	for {
		req, err := stream.Recv()
		if err != nil {
			return nil
		}
		resp := s.attend(sn, p, req)
		if b := req.GetResponseBody(); b != nil && p.hold {
			s.release(stream, b.GetBody())
			return nil // nothing more to see: Envoy goes on without this filter
		}
		if resp != nil && stream.Send(resp) != nil || p.leave {
			return nil
		}
	}
}

// attend answers one message of an attempt; nil for none.
func (s *stub) attend(sn *seen, p plan, req *extprocv3.ProcessingRequest) *extprocv3.ProcessingResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r := req.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		sn.headers, sn.meta = headerMap(r.RequestHeaders.GetHeaders()), req.GetMetadataContext()
		common := &extprocv3.CommonResponse{HeaderMutation: &extprocv3.HeaderMutation{SetHeaders: setHeaders(p.set)}}
		if p.body != "" {
			common.Status = extprocv3.CommonResponse_CONTINUE_AND_REPLACE
			common.BodyMutation = &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: []byte(p.body)}}
		}
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{Response: common}}}
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		sn.response = headerMap(r.ResponseHeaders.GetHeaders())
		if p.hold && !r.ResponseHeaders.GetEndOfStream() {
			return nil
		}
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}}}
	case *extprocv3.ProcessingRequest_ResponseBody:
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{}}}
	}
	return nil
}

// release answers the held response headers by what the first chunk of the body is.
func (s *stub) release(stream extprocv3.ExternalProcessor_ProcessServer, chunk []byte) {
	set := map[string]string{}
	if strings.Contains(string(chunk), "overloaded_error") {
		set[":status"] = "503"
	}
	stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{
		Response: &extprocv3.CommonResponse{HeaderMutation: &extprocv3.HeaderMutation{SetHeaders: setHeaders(set)}},
	}}})
	stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{}}})
}

// script sets what happens to the next requests and attempts, and forgets earlier ones.
func (s *stub) script(request plan, attempt func(cluster string, n int) plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.attempts, s.entries = nil, nil, nil
	s.request = func(map[string]string) plan { return request }
	s.attempt = attempt
	if attempt == nil {
		s.attempt = func(string, int) plan { return plan{} }
	}
}

// last is the latest request's stream, and all attempts' streams, since script.
func (s *stub) last() (*seen, []*seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) == 0 {
		return &seen{}, s.attempts
	}
	return s.requests[len(s.requests)-1], s.attempts
}

// logs is the access log service.
type logs struct{ *stub }

func (l logs) StreamAccessLogs(stream alsv3.AccessLogService_StreamAccessLogsServer) error {
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.entries = append(l.entries, m.GetHttpLogs().GetLogEntry()...)
		l.mu.Unlock()
	}
}

// logged waits until at least n attempts at a cluster were logged since script, and a moment longer, and returns them all.
func (s *stub) logged(n int, cluster string) []*accesslogdatav3.HTTPAccessLogEntry {
	for range 100 {
		if len(s.entriesOf(cluster)) >= n {
			break
		}
		time.Sleep(30 * time.Millisecond)
	}
	time.Sleep(250 * time.Millisecond)
	return s.entriesOf(cluster)
}

func (s *stub) entriesOf(cluster string) []*accesslogdatav3.HTTPAccessLogEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*accesslogdatav3.HTTPAccessLogEntry
	for _, e := range s.entries {
		if e.GetCommonProperties().GetUpstreamCluster() == cluster {
			list = append(list, e)
		}
	}
	return list
}
