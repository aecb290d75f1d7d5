package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"dragoman/internal/admin/api"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// jsonAPI is the API as HTTP/JSON, below /api/.
func jsonAPI(s *api.Server) http.Handler {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true}}),
		runtime.WithErrorHandler(jsonError),
		runtime.WithRoutingErrorHandler(func(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
			jsonError(ctx, mux, m, w, r, &runtime.HTTPStatusError{HTTPStatus: code, Err: status.Error(codes.Unimplemented, http.StatusText(code))})
		}),
		runtime.SetQueryParameterParser(strictQuery{&runtime.DefaultQueryParser{}}),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }), // who calls is known from elsewhere
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
	)
	if err := adminv1.RegisterAdminHandlerClient(context.Background(), mux, s.Client()); err != nil {
		panic(err) // it checks its own patterns, which are generated
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, api.MaxRequest)
		mux.ServeHTTP(w, r)
	})
}

// jsonError answers what went wrong as google.rpc.Status.
func jsonError(_ context.Context, _ *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	var routing *runtime.HTTPStatusError
	code := 0
	if errors.As(err, &routing) {
		code, err = routing.HTTPStatus, routing.Err
	}
	s := status.Convert(err)
	if code == 0 {
		code = runtime.HTTPStatusFromCode(s.Code())
	}
	refusalHeaders(w, s.Code())
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(code)
	body, err := m.Marshal(s.Proto())
	if err != nil { // a message that is not UTF-8
		body = []byte(fmt.Sprintf(`{"code": %d}`, s.Code()))
	}
	_, _ = w.Write(body)
}

// refusalHeaders say what to do about a refusal.
func refusalHeaders(w http.ResponseWriter, code codes.Code) {
	switch code {
	case codes.Unauthenticated:
		w.Header().Set("www-authenticate", `Bearer realm="dragoman"`)
	case codes.ResourceExhausted:
		w.Header().Set("retry-after", strconv.Itoa(6))
	}
}

// Fail answers what went wrong, a status of gRPC, as text.
func Fail(w http.ResponseWriter, err error) {
	s := status.Convert(err)
	refusalHeaders(w, s.Code())
	http.Error(w, s.Message(), runtime.HTTPStatusFromCode(s.Code()))
}

// strictQuery refuses what no field is called: a typing error must not list more than was meant.
type strictQuery struct{ *runtime.DefaultQueryParser }

// Parse implements runtime.QueryParameterParser.
func (q strictQuery) Parse(m proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	fields := m.ProtoReflect().Descriptor().Fields()
	for name := range values {
		if fields.ByName(protoreflect.Name(name)) == nil && fields.ByJSONName(name) == nil {
			return fmt.Errorf("there is no parameter %q", strings.ToValidUTF8(name[:min(len(name), 64)], "?"))
		}
	}
	return q.DefaultQueryParser.Parse(m, values, filter)
}
