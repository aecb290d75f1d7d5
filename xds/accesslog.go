package xds

import (
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"dragoman/internal/wiring"
)

// attemptFlush is how soon a failed attempt reaches health.
const attemptFlush = 100 * time.Millisecond

// attemptLog reports each attempt that the processor's response side does not see or cannot judge: those that failed, or were cut.
// A plain success costs no entry.
func attemptLog() *accesslogv3.AccessLog {
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.http_grpc",
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_OrFilter{OrFilter: &accesslogv3.OrFilter{
			Filters: []*accesslogv3.AccessLogFilter{
				whenStatus(accesslogv3.ComparisonFilter_GE, 400),
				whenStatus(accesslogv3.ComparisonFilter_LE, 199), // 0: no answer at all
				{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{}}},
			},
		}}},
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(&grpclogv3.HttpGrpcAccessLogConfig{
			CommonConfig: &grpclogv3.CommonGrpcAccessLogConfig{
				LogName:             wiring.AttemptLog,
				GrpcService:         dragoman(),
				TransportApiVersion: corev3.ApiVersion_V3,
				BufferFlushInterval: duration(attemptFlush),
			},
			AdditionalResponseHeadersToLog: []string{"retry-after", "retry-after-ms", "x-should-retry"},
		})},
	}
}

// accessFields of the JSON access log. The query string, bodies and every header that may hold a secret stay out. The path is the last
// attempt's, in its provider's schema.
var accessFields = map[string]string{
	"time":             "%START_TIME(%Y-%m-%dT%H:%M:%E3SZ)%",
	"request_id":       "%REQ(X-REQUEST-ID)%",
	"client":           "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
	"method":           "%REQ(:METHOD)%",
	"path":             "%PATH(NQ:PATH)%",
	"protocol":         "%PROTOCOL%",
	"status":           "%RESPONSE_CODE%",
	"details":          "%RESPONSE_CODE_DETAILS%",
	"flags":            "%RESPONSE_FLAGS%",
	"attempts":         "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
	"cluster":          "%UPSTREAM_CLUSTER%",
	"bytes_in":         "%BYTES_RECEIVED%",
	"bytes_out":        "%BYTES_SENT%",
	"duration_ms":      "%DURATION%",
	"first_byte_ms":    "%RESPONSE_DURATION%",
	"exchange":         "%DYNAMIC_METADATA(" + wiring.MetadataExchange + ":" + wiring.KeyExchange + ")%",
	"connection_fault": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}

// accessLogs is the operator's own log: JSON lines to a file, "-" for standard output, none for "".
func accessLogs(path string) []*accesslogv3.AccessLog {
	if path == "" {
		return nil
	}
	fields := map[string]*structpb.Value{}
	for name, operator := range accessFields {
		fields[name] = structpb.NewStringValue(operator)
	}
	format := &corev3.SubstitutionFormatString{
		Format:          &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: object(fields)},
		OmitEmptyValues: true,
	}
	l := &accesslogv3.AccessLog{Name: "envoy.access_loggers.file", ConfigType: &accesslogv3.AccessLog_TypedConfig{
		TypedConfig: packed(&filev3.FileAccessLog{
			Path: path, AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: format},
		}),
	}}
	if path == "-" {
		l.Name = "envoy.access_loggers.stdout"
		l.ConfigType = &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(&streamv3.StdoutAccessLog{
			AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: format},
		})}
	}
	return []*accesslogv3.AccessLog{l}
}
