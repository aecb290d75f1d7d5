package processor

import (
	alsdata "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	als "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/internal/wiring"
	"dragoman/translate/wire"
)

// AccessLog takes Envoy's entries about single attempts. A failed attempt that Envoy retried is seen nowhere else.
type AccessLog struct {
	als.UnimplementedAccessLogServiceServer
	S *Server
}

// StreamAccessLogs serves one Envoy worker's stream of entries; nothing is answered before its end.
func (l *AccessLog) StreamAccessLogs(stream als.AccessLogService_StreamAccessLogsServer) error {
	for {
		in, err := stream.Recv()
		if err != nil {
			return ignoreEnd(err)
		}
		for _, e := range in.GetHttpLogs().GetLogEntry() {
			l.S.onAttemptLog(e)
		}
	}
}

// onAttemptLog turns one attempt's entry into an outcome for its cluster's health.
func (s *Server) onAttemptLog(e *alsdata.HTTPAccessLogEntry) {
	common := e.GetCommonProperties()
	o := health.Outcome{
		Cluster: config.ClusterName(common.GetUpstreamCluster()), Status: int(e.GetResponse().GetResponseCode().GetValue()),
		Model: wiring.TargetOf(e.GetRequest().GetUserAgent()),
	}
	if at := common.GetStartTime(); at != nil {
		o.Start = at.AsTime()
	}
	if o.Cluster == "" {
		return
	}
	headers := e.GetResponse().GetResponseHeaders()
	o.RetryAfter = wire.RetryAfter(func(name string) string { return headers[name] }, s.Now())
	var counts bool
	if o.Class, counts = classOf(o.Status, common.GetResponseFlags()); !counts {
		return
	}
	s.Metrics.Attempt(string(o.Cluster), o.Class.String())
	s.Health.Report(o)
}

// classOf reads Envoy's response flags and the provider's status. counts is false for what was no provider's fault: a
// client that went away, a request that the provider rightly refused.
func classOf(status int, f *alsdata.ResponseFlags) (class health.Class, counts bool) {
	switch {
	case f.GetUpstreamConnectionFailure():
		return health.ConnectFailure, true
	case f.GetUpstreamRequestTimeout(), f.GetUpstreamMaxStreamDurationReached(), f.GetStreamIdleTimeout():
		return health.Timeout, true
	case f.GetUpstreamRemoteReset(), f.GetUpstreamConnectionTermination(), f.GetUpstreamProtocolError():
		return health.Cut, true
	case f.GetDownstreamConnectionTermination(), f.GetDownstreamRemoteReset():
		return 0, false
	case status == 429:
		return health.RateLimited, true
	case status == 402:
		return health.Quota, true
	case status == 404:
		return health.NoModel, true
	case status == 401, status == 403:
		return health.AuthDead, true
	case status == 408:
		return health.Timeout, true
	case status >= 500, status == 0:
		return health.ServerError, true
	default:
		return 0, false
	}
}
