package observe

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestCredential(t *testing.T) {
	m := NewMetrics()
	m.Credential("credential/vertex/default", time.Time{}, errors.New("x"))
	if got := testutil.ToFloat64(m.tokenExpiry.WithLabelValues("credential/vertex/default")); got != 0 {
		t.Errorf("no token is held until %v", got)
	}
	m.Credential("credential/vertex/default", time.Unix(1_700_000_000, 5), nil)
	m.Credential("credential/vertex/default", time.Unix(1_700_000_000, 5), errors.New("x"))
	if got := testutil.ToFloat64(m.tokenExpiry.WithLabelValues("credential/vertex/default")); got != 1_700_000_000 {
		t.Errorf("held until %v", got)
	}
	for result, want := range map[string]float64{"ok": 1, "error": 2} {
		if got := testutil.ToFloat64(m.tokenTries.WithLabelValues("credential/vertex/default", result)); got != want {
			t.Errorf("%s: %v, want %v", result, got, want)
		}
	}
}
