package observe

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestVault(t *testing.T) {
	m := NewMetrics()
	for _, kind := range []string{"", "", "away", "denied", "something new", "another new one"} {
		m.VaultRead(kind)
	}
	for result, want := range map[string]float64{"ok": 2, "away": 1, "denied": 1, other: 2} {
		if got := testutil.ToFloat64(m.vaultReads.WithLabelValues(result)); got != want {
			t.Errorf("%s: %v, want %v", result, got, want)
		}
	}
	if n := testutil.CollectAndCount(m.vaultReads); n != 4 {
		t.Errorf("%d results are told apart", n)
	}
	m.VaultLogin("login", nil)
	m.VaultLogin("renew", errors.New("x"))
	m.VaultLogin("made up", nil)
	if ok, failed := testutil.ToFloat64(m.vaultLogins.WithLabelValues("login", "ok")), testutil.ToFloat64(m.vaultLogins.WithLabelValues("renew", "error")); ok != 2 || failed != 1 {
		t.Errorf("logins %v, failed renewals %v", ok, failed)
	}
	m.VaultState(time.Unix(1_700_000_000, 5e8), time.Time{})
	if at, end := testutil.ToFloat64(m.vaultRead), testutil.ToFloat64(m.vaultToken); at != 1_700_000_000.5 || end != 0 {
		t.Errorf("read at %v, token until %v", at, end)
	}
}
