package xds

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"dragoman/internal/wiring"
	"dragoman/translate/chat"
)

// reply is what Envoy itself answers for one status, in the words of each client schema.
type reply struct {
	status    uint32 // 0: any other
	details   string // CEL condition on Envoy's response.code_details that narrows it, "" for none
	message   string
	openai    string // error.type
	anthropic string // error.type: https://docs.anthropic.com/en/api/errors
	google    string // error.status: https://cloud.google.com/apis/design/errors
	code      string // error.code of OpenAI, "" for null
	retry     string // Retry-After, in seconds
	marked    bool   // with wiring.HeaderLocalReply: the processor will see it, and knows more than Envoy's details may tell a client
}

// replies in the order they are tried. Most pass through the processor's response side, which knows more and replaces them; the
// client sees these when the processor cannot answer.
var replies = []reply{
	{status: 503, details: `response.code_details.startsWith("ext_proc")`, retry: "1",
		openai: "server_error", anthropic: "overloaded_error", google: "UNAVAILABLE", code: "processor_unavailable",
		message: "The gateway's processor is unavailable. Retry in a moment; if it lasts, the gateway's operator must look at Dragoman's log."},
	{status: 503, details: `response.code_details == "direct_response"`, marked: true, retry: "1",
		openai: "server_error", anthropic: "overloaded_error", google: "UNAVAILABLE", code: "not_routed",
		message: "The gateway's processor gave this request no provider to go to. Retry in a moment."},
	{status: 503, marked: true, retry: "1", openai: "server_error", anthropic: "overloaded_error", google: "UNAVAILABLE", code: "unavailable",
		message: "No provider could be reached for this request. Retry in a moment."},
	{status: 504, marked: true, openai: "server_error", anthropic: "timeout_error", google: "DEADLINE_EXCEEDED", code: "provider_timeout",
		message: "The provider did not answer in time."},
	{status: 408, marked: true, openai: "invalid_request_error", anthropic: "invalid_request_error", google: "INVALID_ARGUMENT", code: "upload_timeout",
		message: "The request did not arrive in time."},
	{status: 413, marked: true, openai: "invalid_request_error", anthropic: "request_too_large", google: "INVALID_ARGUMENT", code: "request_too_large",
		message: "The request's body is larger than the gateway takes (limits.max_body_bytes)."},
	{status: 431, openai: "invalid_request_error", anthropic: "invalid_request_error", google: "INVALID_ARGUMENT", code: "headers_too_large",
		message: "The request's headers are larger than the gateway takes."},
	{status: 400, openai: "invalid_request_error", anthropic: "invalid_request_error", google: "INVALID_ARGUMENT", code: "bad_request",
		message: "The request is not valid HTTP."},
	{marked: true, openai: "server_error", anthropic: "api_error", google: "INTERNAL", code: "gateway_error",
		message: "The gateway could not complete this request."},
}

// localReplies gives every answer that Envoy makes by itself a body in the client's schema. The processor's own
// immediate responses are local replies too, and keep theirs.
func localReplies() *hcmv3.LocalReplyConfig {
	own := &hcmv3.ResponseMapper{
		Filter: whenCEL(`response.code_details.startsWith("` + wiring.DetailsPrefix + `")`),
		BodyFormatOverride: &corev3.SubstitutionFormatString{
			Format:      &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: text("%LOCAL_REPLY_BODY%")},
			ContentType: "application/json",
		},
	}
	c := &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{own}}
	for _, r := range replies {
		c.Mappers = append(c.Mappers,
			r.mapper(r.anthropicBody(), whenClient(chat.Anthropic, "/v1/messages")),
			r.mapper(r.googleBody(), whenClient(chat.Gemini, "/v1beta/")),
			r.mapper(r.cohereBody(), whenClient(chat.Cohere, "/v2/")),
			r.mapper(r.openaiBody()))
	}
	return c
}

func (r reply) mapper(body *structpb.Struct, conditions ...*accesslogv3.AccessLogFilter) *hcmv3.ResponseMapper {
	if r.status != 0 {
		conditions = append(conditions, whenStatus(accesslogv3.ComparisonFilter_EQ, r.status))
	} else {
		conditions = append(conditions, whenStatus(accesslogv3.ComparisonFilter_GE, 0))
	}
	if r.details != "" {
		conditions = append(conditions, whenCEL(r.details))
	}
	m := &hcmv3.ResponseMapper{
		Filter: all(conditions),
		BodyFormatOverride: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: body},
		},
	}
	if r.marked {
		m.HeadersToAdd = append(m.HeadersToAdd, setHeader(wiring.HeaderLocalReply, "%RESPONSE_CODE_DETAILS%"))
	}
	if r.retry != "" {
		m.HeadersToAdd = append(m.HeadersToAdd, setHeader("retry-after", r.retry))
	}
	return m
}

func (r reply) openaiBody() *structpb.Struct {
	return object(map[string]*structpb.Value{"error": structpb.NewStructValue(object(map[string]*structpb.Value{
		"message": structpb.NewStringValue(r.message),
		"type":    structpb.NewStringValue(r.openai),
		"param":   structpb.NewNullValue(),
		"code":    structpb.NewStringValue(r.code),
	}))})
}

func (r reply) anthropicBody() *structpb.Struct {
	return object(map[string]*structpb.Value{
		"type": structpb.NewStringValue("error"),
		"error": structpb.NewStructValue(object(map[string]*structpb.Value{
			"type":    structpb.NewStringValue(r.anthropic),
			"message": structpb.NewStringValue(r.message),
		})),
	})
}

func (r reply) googleBody() *structpb.Struct {
	return object(map[string]*structpb.Value{"error": structpb.NewStructValue(object(map[string]*structpb.Value{
		"code":    structpb.NewStringValue("%RESPONSE_CODE%"), // alone, so that it is written as a number
		"message": structpb.NewStringValue(r.message),
		"status":  structpb.NewStringValue(r.google),
	}))})
}

func (r reply) cohereBody() *structpb.Struct {
	return object(map[string]*structpb.Value{"message": structpb.NewStringValue(r.message)})
}

func object(fields map[string]*structpb.Value) *structpb.Struct {
	return &structpb.Struct{Fields: fields}
}

func text(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
}

// The conditions on which a reply is chosen or an attempt is logged.

func all(conditions []*accesslogv3.AccessLogFilter) *accesslogv3.AccessLogFilter {
	if len(conditions) == 1 {
		return conditions[0] // Envoy refuses a conjunction of one
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: conditions},
	}}
}

func whenStatus(op accesslogv3.ComparisonFilter_Op, status uint32) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
			Op: op, Value: &corev3.RuntimeUInt32{DefaultValue: status, RuntimeKey: "dragoman.unset"},
		}},
	}}
}

// whenClient is a client of one schema: by what the processor said of it, else by the path, which the processor may have changed
// to the provider's.
func whenClient(schema chat.Schema, path string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_OrFilter{OrFilter: &accesslogv3.OrFilter{
		Filters: []*accesslogv3.AccessLogFilter{
			whenSchema(schema, false),
			all([]*accesslogv3.AccessLogFilter{whenPath(path), whenSchema(schema, true)}),
		},
	}}}
}

func whenSchema(schema chat.Schema, orUnset bool) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_MetadataFilter{
		MetadataFilter: &accesslogv3.MetadataFilter{
			MatchIfKeyNotFound: flag(orUnset),
			Matcher: &matcherv3.MetadataMatcher{
				Filter: wiring.MetadataExchange,
				Path: []*matcherv3.MetadataMatcher_PathSegment{{
					Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: wiring.KeySchema},
				}},
				Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
					MatchPattern: &matcherv3.StringMatcher_Exact{Exact: string(schema)},
				}}},
			},
		},
	}}
}

func whenPath(prefix string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{
		HeaderFilter: &accesslogv3.HeaderFilter{Header: &routev3.HeaderMatcher{
			Name: ":path",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix},
			}},
		}},
	}}
}

func whenCEL(expression string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name:       "envoy.access_loggers.extension_filters.cel",
			ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: packed(&celv3.ExpressionFilter{Expression: expression})},
		},
	}}
}
