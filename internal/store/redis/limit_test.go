package redis

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/store/storetest"
	"dragoman/processor/limit"
	"dragoman/test/redisserver"
)

// patientWait is for tests about what is counted: the machine may be busy.
const patientWait = 5 * time.Second

// openLimits makes counters; calm waits for the settlements.
func openLimits(t testing.TB, client *Client, o LimitOptions) (l *Limits, calm func()) {
	t.Helper()
	if o.ID == "" {
		o.ID = "a"
	}
	l = NewLimits(client, o)
	t.Cleanup(l.Close)
	return l, func() {
		t.Helper()
		waitFor(t, func() bool { return l.queue.waiting() == 0 }, "settlements are not made")
	}
}

func emptied(t testing.TB, client *Client) {
	t.Helper()
	if err := client.db.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestLimitsPassTheSuite(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := redisserver.Start(t)
	t.Run("suite", func(t *testing.T) {
		storetest.Limits(t, func(t *testing.T, now func() time.Time) (limit.Store, func()) {
			client := openClient(t, server.Addr)
			emptied(t, client)
			return openLimits(t, client, LimitOptions{Clock: now, Wait: patientWait})
		})
	})
	server.Stop()
}
