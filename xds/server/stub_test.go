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
	fail      error // the stream ends with it
	hold      bool  // of an attempt: answer the response headers when the first body chunk has come
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
	chunks   int
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
	decided := false
	decide := func() error {
		decided = true
		return s.answer(stream, p, body.String())
	}
	for {
		req, err := stream.Recv()
		if err != nil {
			return nil
		}
		s.mu.Lock()
		switch r := req.GetRequest().(type) {
		case *extprocv3.ProcessingRequest_RequestHeaders:
			sn.headers = headerMap(r.RequestHeaders.GetHeaders())
			p = s.request(sn.headers)
		case *extprocv3.ProcessingRequest_RequestBody:
			body.Write(r.RequestBody.GetBody())
			sn.bytes += len(r.RequestBody.GetBody())
			sn.chunks++
		case *extprocv3.ProcessingRequest_ResponseHeaders:
			sn.response = headerMap(r.ResponseHeaders.GetHeaders())
			sn.attrs = req.GetAttributes()
		}
		s.mu.Unlock()
		if p.fail != nil {
			return p.fail
		}
		switch r := req.GetRequest().(type) {
		case *extprocv3.ProcessingRequest_RequestHeaders:
			if r.RequestHeaders.GetEndOfStream() {
				err = decide()
			}
		case *extprocv3.ProcessingRequest_RequestBody:
			if r.RequestBody.GetEndOfStream() && !decided {
				err = decide()
			}
		case *extprocv3.ProcessingRequest_RequestTrailers:
			err = decide()
		case *extprocv3.ProcessingRequest_ResponseHeaders:
			err = stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{
				ResponseHeaders: &extprocv3.HeadersResponse{},
			}})
		case *extprocv3.ProcessingRequest_ResponseBody:
			err = stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{
				ResponseBody: bodyResponse(r.ResponseBody.GetBody(), r.ResponseBody.GetEndOfStream()),
			}})
		case *extprocv3.ProcessingRequest_ResponseTrailers:
			err = stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseTrailers{
				ResponseTrailers: &extprocv3.TrailersResponse{},
			}})
		}
		if err != nil {
			return nil
		}
	}
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
		any, _ := anypb.New(over)
		head.TypedDynamicMetadata = map[string]*anypb.Any{wiring.MetadataOrder: any}
		head.DynamicMetadata, _ = structpb.NewStruct(map[string]any2{wiring.MetadataExchange: map[string]any2{wiring.KeyExchange: "exchange-1"}})
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

type any2 = interface{}

func (s *stub) serveAttempt(stream extprocv3.ExternalProcessor_ProcessServer, cluster string) error {
	sn := &seen{cluster: cluster}
	s.mu.Lock()
	s.attempts = append(s.attempts, sn)
	n := len(s.attempts)
	p := s.attempt(cluster, n)
	s.mu.Unlock()
	held := false
	for {
		req, err := stream.Recv()
		if err != nil {
			return nil
		}
		var resp *extprocv3.ProcessingResponse
		s.mu.Lock()
		switch r := req.GetRequest().(type) {
		case *extprocv3.ProcessingRequest_RequestHeaders:
			sn.headers, sn.meta, sn.attrs = headerMap(r.RequestHeaders.GetHeaders()), req.GetMetadataContext(), req.GetAttributes()
			common := &extprocv3.CommonResponse{HeaderMutation: &extprocv3.HeaderMutation{SetHeaders: setHeaders(p.set)}}
			if p.body != "" {
				common.Status = extprocv3.CommonResponse_CONTINUE_AND_REPLACE
				common.BodyMutation = &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: []byte(p.body)}}
			}
			resp = &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{Response: common}}}
		case *extprocv3.ProcessingRequest_ResponseHeaders:
			sn.response = headerMap(r.ResponseHeaders.GetHeaders())
			held = p.hold && !r.ResponseHeaders.GetEndOfStream()
			if !held {
				resp = &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}}}
			}
		case *extprocv3.ProcessingRequest_ResponseBody:
			sn.chunks++
		}
		s.mu.Unlock()
		if b := req.GetResponseBody(); b != nil {
			if held {
				held = false
				status := map[string]string{}
				if strings.Contains(string(b.GetBody()), "overloaded_error") {
					status[":status"] = "503"
				}
				if err := stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{
					Response: &extprocv3.CommonResponse{HeaderMutation: &extprocv3.HeaderMutation{SetHeaders: setHeaders(status)}},
				}}}); err != nil {
					return nil
				}
			}
			if err := stream.Send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{}}}); err != nil {
				return nil
			}
			if p.hold {
				return nil // nothing more to see: Envoy goes on without this filter
			}
		}
		if resp != nil && stream.Send(resp) != nil {
			return nil
		}
	}
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

// logged waits until at least n attempts were logged and a moment longer, and returns them all.
func (s *stub) logged(n int) []*accesslogdatav3.HTTPAccessLogEntry {
	for range 100 {
		time.Sleep(30 * time.Millisecond)
		s.mu.Lock()
		have := len(s.entries)
		s.mu.Unlock()
		if have >= n {
			break
		}
	}
	time.Sleep(250 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*accesslogdatav3.HTTPAccessLogEntry(nil), s.entries...)
}
