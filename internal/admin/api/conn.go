package api

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// Client calls the API within this process, as HTTP/JSON and the page do, by the way that gRPC calls go, too: the caller is the context's
// (access.WithCaller).
func (s *Server) Client() adminv1.AdminClient { return adminv1.NewAdminClient(conn{s}) }

// conn is a connection without a wire.
type conn struct{ server *Server }

// Invoke calls a method.
func (c conn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	for _, m := range adminv1.Admin_ServiceDesc.Methods {
		if "/"+adminv1.Admin_ServiceDesc.ServiceName+"/"+m.MethodName != method {
			continue
		}
		decode := func(in any) error {
			proto.Merge(in.(proto.Message), args.(proto.Message))
			return nil
		}
		out, err := m.Handler(c.server, ctx, decode, c.server.intercept)
		if err != nil {
			return err
		}
		proto.Merge(reply.(proto.Message), out.(proto.Message))
		return nil
	}
	return status.Error(codes.Unimplemented, "there is no such method")
}

// NewStream is for methods that stream, of which there are none.
func (conn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "there is no such method")
}
