package gemini

import (
	"strconv"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
)

// spoken is how a kind of fault is told to a client: the SDKs retry 408, 429 and the 5xx.
type spoken struct {
	status int
	code   string // google.rpc.Code
}

// spokenKinds has every kind. Overloaded is Google's own 503 UNAVAILABLE, "The model is overloaded".
var spokenKinds = map[fault.Kind]spoken{
	fault.Internal:         {500, "INTERNAL"},
	fault.InvalidRequest:   {400, "INVALID_ARGUMENT"},
	fault.Unsupported:      {400, "INVALID_ARGUMENT"},
	fault.ContextLength:    {400, "INVALID_ARGUMENT"},
	fault.ContentFiltered:  {400, "INVALID_ARGUMENT"},
	fault.Unauthenticated:  {401, "UNAUTHENTICATED"},
	fault.PermissionDenied: {403, "PERMISSION_DENIED"},
	fault.NotFound:         {404, "NOT_FOUND"},
	fault.MethodNotAllowed: {405, "UNIMPLEMENTED"},
	fault.UploadTimeout:    {408, "DEADLINE_EXCEEDED"},
	fault.TooLarge:         {413, "INVALID_ARGUMENT"},
	fault.RateLimited:      {429, "RESOURCE_EXHAUSTED"},
	fault.QuotaExhausted:   {429, "RESOURCE_EXHAUSTED"},
	fault.Canceled:         {499, "CANCELLED"},
	fault.ProviderAuth:     {401, "UNAUTHENTICATED"},
	fault.ProviderFailed:   {502, "INTERNAL"},
	fault.Overloaded:       {503, "UNAVAILABLE"},
	fault.Unavailable:      {503, "UNAVAILABLE"},
	fault.ProviderTimeout:  {504, "DEADLINE_EXCEEDED"},
	fault.ProviderError:    {502, "INTERNAL"},
	fault.BudgetExhausted:  {402, "RESOURCE_EXHAUSTED"},
}

// EncodeFault is an error as Google's services answer it.
func (Codec) EncodeFault(f *fault.Fault, requestID string) (status int, body []byte) {
	s := speak(f)
	return s.status, appendFault(make([]byte, 0, 320+len(f.Message)), f, s, requestID)
}

func speak(f *fault.Fault) spoken {
	s, ok := spokenKinds[f.Kind]
	if !ok {
		s = spokenKinds[fault.Internal]
	}
	switch {
	case f.Kind == fault.ProviderAuth && f.Status == 403:
		s = spokenKinds[fault.PermissionDenied]
	case f.Kind == fault.ProviderError && f.Status >= 500 && f.Status <= 599:
		s.status = f.Status
	}
	return s
}

const detailType = `{"@type":"type.googleapis.com/google.rpc.`

// appendFault writes {"error":{…}}, with the details that google.rpc has for a field at fault, a reason, a time to retry
// and the request's id.
func appendFault(b []byte, f *fault.Fault, s spoken, requestID string) []byte {
	message := f.Message
	if message == "" {
		message = "The request failed: " + f.Kind.String() + "."
	}
	if f.Param != "" && !strings.Contains(message, f.Param) {
		message = f.Param + ": " + message
	}
	b = strconv.AppendInt(append(b, `{"error":{"code":`...), int64(s.status), 10)
	b = strictjson.AppendString(append(b, `,"message":`...), message)
	b = strictjson.AppendString(append(b, `,"status":`...), s.code)
	b = append(b, `,"details":[`...)
	b = strictjson.AppendString(append(b, detailType+`ErrorInfo","reason":`...), reasonOf(f))
	b = append(b, `,"domain":"dragoman"}`...)
	if f.Param != "" {
		b = strictjson.AppendString(append(b, `,`+detailType+`BadRequest","fieldViolations":[{"field":`...), f.Param)
		b = append(strictjson.AppendString(append(b, `,"description":`...), message), `}]}`...)
	}
	if f.RetryAfter > 0 {
		b = append(b, `,`+detailType+`RetryInfo","retryDelay":"`...)
		b = append(strconv.AppendFloat(b, f.RetryAfter.Seconds(), 'f', -1, 64), `s"}`...)
	}
	if requestID != "" {
		b = append(strictjson.AppendString(append(b, `,`+detailType+`RequestInfo","requestId":`...), requestID), '}')
	}
	return append(b, `]}}`...)
}

// reasonOf is a machine's word in the form of google.rpc.ErrorInfo: UPPER_SNAKE_CASE.
func reasonOf(f *fault.Fault) string {
	if f.Code != "" {
		return strings.ToUpper(f.Code)
	}
	return strings.ToUpper(f.Kind.String())
}
