// Package wiring holds the names on which Envoy's configuration (xds, envoy/bootstrap) and the processor must agree. They
// stand here once, so that the contract between configuration and code is the compiler's business. Constants, and what reads one of
// them.
package wiring

// Identity of the Envoy that Dragoman configures, and of what Dragoman offers to it.
const (
	NodeID      = "dragoman"           // node.id in the bootstrap; the key of the xDS snapshot
	NodeCluster = "dragoman"           // node.cluster in the bootstrap
	Cluster     = "dragoman"           // static cluster of Dragoman's own gRPC server: xDS, ext_proc, access log
	Listener    = "dragoman"           // the client-facing listener
	Loopback    = "dragoman-loopback"  // the listener of the gateway's own requests
	RouteConfig = "dragoman"           // the route configuration of that listener
	StatPrefix  = "dragoman"           // of the HTTP connection manager: http.dragoman.downstream_rq_active
	AttemptLog  = "dragoman-attempts"  // log_name of the per-attempt gRPC access log
	NoCluster   = "dragoman-unordered" // cluster without endpoints: where an order that names no configured group ends
)

// Dynamic metadata. The processor's downstream filter writes both namespaces in its answer to the request's headers or
// body, together with clear_route_cache.
const (
	// MetadataOrder is the namespace that the route's priority_group specifier reads:
	// {"priority_groups": [{"name": "openai"}, {"name": "claude"}]}, one group per attempt, by name.
	MetadataOrder = "dragoman"
	// MetadataExchange is the namespace that upstream filters forward to the processor and that the per-attempt log carries.
	// It stays apart from MetadataOrder, whose struct must have no other field to be a valid order.
	MetadataExchange = "dragoman.exchange"
	// KeyExchange is the key in MetadataExchange whose string value names the Exchange.
	KeyExchange = "id"
	// KeySchema is the key in MetadataExchange whose string value is the client's schema (chat.Schema). Envoy's own replies are
	// written in it once it is set; before, and without it, the path tells.
	KeySchema = "schema"
)

// Request headers between the processor and Envoy. Envoy removes a client's own copies before any filter sees them, and
// never forwards them to a provider.
const (
	// HeaderOrdered with the value "1" is set by the processor on a request that it has ordered. Only such a request has a
	// route to a provider.
	HeaderOrdered = "x-dragoman-ordered"
	// OrderedStream is its value for an upload that is passed on as it comes: its route holds no body, and tries no second time.
	OrderedStream = "stream"
	// OrderedOnce is its value for a request that acts at its provider: only what was certainly not begun is tried again.
	OrderedOnce = "once"
	// HeaderProbe with the value "1" makes the attempt filter run on the first attempt too.
	HeaderProbe = "x-dragoman-probe"
	// HeaderLength is set by the attempt filter to the length of the body it answers with, in bytes: Envoy drops content-length
	// with a replaced body, and takes it from here.
	HeaderLength = "x-dragoman-length"
	// HeaderTarget names the model of an attempt, for the log of attempts: health counts a provider's limits by model. The provider sees
	// it as a part of user-agent, the one header that both it and that log get.
	HeaderTarget = "x-dragoman-target"
	// HeaderMaxRetries overrides the number of retries of one request: attempts less one. The router consumes it.
	HeaderMaxRetries = "x-envoy-max-retries"
	// HeaderTotalTimeout and HeaderTryTimeout override, in milliseconds, the timeouts of the route and of each attempt. The router
	// consumes them.
	HeaderTotalTimeout = "x-envoy-upstream-rq-timeout-ms"
	HeaderTryTimeout   = "x-envoy-upstream-rq-per-try-timeout-ms"
	// HeaderRetry on a response makes the router try again whatever its status: the attempt filter sets it when the cause is known.
	HeaderRetry = "x-dragoman-retry"
	// HeaderRetryCodes adds to the statuses on which the router makes another attempt. With the value ElsewhereCodes it is set
	// on requests that another credential or provider may answer: one that refused ours would only refuse again.
	HeaderRetryCodes = "x-envoy-retriable-status-codes"
	ElsewhereCodes   = "401,402,403,404"
	// HeaderAttemptCount is set by Envoy on every attempt, from 1.
	HeaderAttemptCount = "x-envoy-attempt-count"
	// HeaderDebug is an x-dragoman header that a client may send.
	HeaderDebug = "x-dragoman-debug"
	// HeaderCacheKey is another: the client's own part of the cache's key.
	HeaderCacheKey = "x-dragoman-cache-key"
	// HeaderTimeout is another: for how long the client waits for the whole answer, "30" (seconds) or "1500ms". SDKs send HeaderClientTimeout by
	// themselves, in seconds: for how long they wait for bytes.
	HeaderTimeout       = "x-dragoman-timeout"
	HeaderClientTimeout = "x-stainless-timeout"
	// HeaderModel is another: the model of a request whose body names none, or too late.
	HeaderModel = "x-dragoman-model"
	// With these a client narrows who may answer, within what its route allows.
	HeaderProviders   = "x-dragoman-providers"
	HeaderDataRegions = "x-dragoman-data-regions"
	HeaderMaxCost     = "x-dragoman-max-cost"
	HeaderMaxLatency  = "x-dragoman-max-latency"
	// HeaderConversation names the conversation that a request belongs to, for affinity.
	HeaderConversation = "x-dragoman-conversation"
	// HeaderMirror marks a copy that Dragoman itself sends, by the route whose mirror it is for. A client's own means nothing.
	HeaderMirror = "x-dragoman-mirror"
	// HeaderLocalReply marks a response that Envoy itself made, on its way through the processor's response side. Its value
	// is %RESPONSE_CODE_DETAILS%. The processor replaces such a response and removes the header.
	HeaderLocalReply = "x-dragoman-local-reply"
)

// Initial metadata of an ext_proc gRPC stream: which filter it serves.
const (
	MetaFilter    = "x-dragoman-filter"
	MetaCluster   = "x-dragoman-cluster" // with FilterAttempt: name of the cluster
	FilterRequest = "request"            // the downstream filter: one stream a request
	FilterAttempt = "attempt"            // the upstream filter: one stream per later or probed attempt
)

// Attributes that come with the downstream filter's response headers, in ProcessingRequest.attributes under the key
// AttributesKey.
const (
	AttributesKey     = "envoy.filters.http.ext_proc"
	AttributeCluster  = "xds.cluster_name"               // string: the cluster of the last attempt
	AttributeAttempts = "upstream.request_attempt_count" // number: attempts made
)

// Who calls, beside the keys in headers: what comes with the downstream filter's request headers where the configuration's `identity` wants
// it.
const (
	// FilterJWT verifies tokens, and is the namespace of the dynamic metadata in which it says of them: the payload of a verified token, under
	// the ID of the entry (config.JWT.ID) that has verified it, and why a token failed, under JWTFailed and that ID: {"code": 3,
	// "message": "Jwt is expired"}. A client has no way to write dynamic metadata.
	FilterJWT = "envoy.filters.http.jwt_authn"
	JWTFailed = "failed:"
	// Of the client's certificate, which the listener has verified: the first name of each kind.
	AttributeURISAN = "connection.uri_san_peer_certificate"
	AttributeDNSSAN = "connection.dns_san_peer_certificate"
	// HeaderClientCert is let in where a proxy in front tells in it whose certificate it has verified.
	HeaderClientCert = "x-forwarded-client-cert"
)

// DetailsPrefix begins the `details` of every immediate response of the processor. A local reply with such details keeps
// its body; every other one gets a body in the client's schema from Envoy.
const DetailsPrefix = "dragoman"

// ClientHeaders lists the headers of a client that pass the listener; any other is dropped before the first filter. The
// credential ones end at the processor, at the latest at the cluster's first filter.
var ClientHeaders = []string{
	"accept", "anthropic-beta", "anthropic-version", "api-key", "authorization", "cache-control", "connection", "content-encoding",
	"content-length", "content-type", "expect", "host", "http2-settings", "keep-alive", "origin", "proxy-connection", "te",
	"traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-api-key",
	"x-client-request-id", "x-goog-api-key", "x-session-id", HeaderDebug, HeaderCacheKey, HeaderModel, HeaderTimeout, HeaderClientTimeout,
	HeaderProviders, HeaderDataRegions, HeaderMaxCost, HeaderMaxLatency, HeaderConversation, HeaderMirror,
}
