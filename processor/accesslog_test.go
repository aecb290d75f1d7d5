package processor

import (
	"testing"
	"time"

	alscore "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"dragoman/internal/health"
	"dragoman/internal/observe"
)

// logged is an entry of Envoy's log of attempts.
func logged(cluster string, status uint32, agent string, f *alscore.ResponseFlags) *alscore.HTTPAccessLogEntry {
	e := &alscore.HTTPAccessLogEntry{
		CommonProperties: &alscore.AccessLogCommon{UpstreamCluster: cluster, ResponseFlags: f, StartTime: timestamppb.New(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))},
		Request:          &alscore.HTTPRequestProperties{UserAgent: agent}, Response: &alscore.HTTPResponseProperties{},
	}
	if status != 0 {
		e.Response.ResponseCode = wrapperspb.UInt32(status)
	}
	return e
}

func TestAttemptsAreClassed(t *testing.T) {
	type flags = alscore.ResponseFlags
	for _, c := range []struct {
		status uint32
		flags  *flags
		want   health.Class // 0: says nothing of the cluster
	}{
		{500, nil, health.ServerError}, {503, nil, health.ServerError}, {529, nil, health.ServerError}, {0, nil, health.ServerError},
		{429, nil, health.RateLimited}, {401, nil, health.AuthDead}, {403, nil, health.AuthDead}, {402, nil, health.Quota},
		{404, nil, health.NoModel}, {408, nil, health.Timeout}, {400, nil, 0}, {413, nil, 0}, {422, nil, 0}, {424, nil, 0}, {200, nil, 0},
		{0, &flags{UpstreamConnectionFailure: true}, health.ConnectFailure},
		{0, &flags{UpstreamRequestTimeout: true}, health.Timeout},
		{0, &flags{StreamIdleTimeout: true}, health.Timeout},
		{0, &flags{UpstreamConnectionTermination: true}, health.Cut},
		{0, &flags{UpstreamRemoteReset: true}, health.Cut},
		{200, &flags{UpstreamProtocolError: true}, health.Cut},
		{0, &flags{DownstreamConnectionTermination: true}, 0},
		{200, &flags{DownstreamRemoteReset: true}, 0},
	} {
		got, counts := classOf(int(c.status), c.flags)
		if counts != (c.want != 0) || counts && got != c.want {
			t.Errorf("%d %v: %v %v, want %v", c.status, c.flags, got, counts, c.want)
		}
	}
}

// The log says which model was asked, so that its limit is its own.
func TestAttemptLogKnowsTheModel(t *testing.T) {
	w := newSteered(t)
	w.s.Metrics = observe.NewMetrics()
	e := logged("a/default", 429, "dragoman (m)", nil)
	e.Response.ResponseHeaders = map[string]string{"retry-after": "30"}
	w.s.onAttemptLog(e)
	w.s.onAttemptLog(logged("", 500, "", nil))
	w.s.Health.Publish()
	v := w.s.Health.View()
	if v.UsableFor("a/default", "m", w.now) || !v.UsableFor("a/default", "n", w.now) || v.State("a/default") != health.Healthy {
		t.Errorf("%+v", v.List())
	}
	if at := v.ModelRetryAt("a/default", "m", w.now); at.Sub(w.now) != 30*time.Second {
		t.Errorf("again in %v", at.Sub(w.now))
	}
	w.s.onAttemptLog(logged("a/default", 429, "curl/8", nil)) // of a model that nobody knows: of all
	w.s.Health.Publish()
	if s := w.s.Health.View().State("a/default"); s != health.Limited {
		t.Errorf("a 429 of an unknown model: %v", s)
	}
}
