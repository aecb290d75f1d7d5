package e2e

import (
	"bufio"
	"net"
	"testing"
	"time"

	"dragoman/test/redisserver"
)

// TestBudgetsWithoutRedis: frozen, thawed, flushed and dead. While it is away a budget is spent by its grace alone; afterwards everything
// that was used is charged; what a flush takes, the replicas still know.
func TestBudgetsWithoutRedis(t *testing.T) {
	server := redisserver.Start(t)
	g := replicasOn(t, server, 1, "quota: {grace: 5}\n", false)[0] // 500 micro-USD: five answers
	answering(t, g, budgetWords, nil)
	ok, away := 0, 0
	ask := func() int {
		t.Helper()
		a := askAs(t, g, "acme", "openai", budgetBody("priced", budgetWords, false))
		switch a.status {
		case 200:
			ok++
		case 503:
			away++
			if a.header.Get("retry-after") == "" {
				t.Errorf("%v", a)
			}
		default:
			t.Fatalf("%v", a)
		}
		return a.status
	}
	spent := func() int64 { return int64(ok * budgetWords) }
	until := func(what string, status int) {
		t.Helper()
		eventually(t, what, func() bool { return ask() == status })
	}
	for ok < 10 {
		ask()
	}
	wantSpent(t, g, spent(), spent())

	must(t, server.Freeze())
	before := ok
	until("a budget is not closed without Redis", 503)
	begin := time.Now()
	for range 20 {
		ask()
	}
	if ok-before > 5 {
		t.Errorf("%d answers on a grace of five", ok-before)
	}
	t.Logf("20 requests without Redis took %s; %d answers of the grace, %d refused", time.Since(begin), ok-before, away)
	must(t, server.Thaw())
	until("Redis is back, and not asked", 200)
	wantSpent(t, g, spent(), spent()) // what was used meanwhile, too

	flushed(t, server)
	until("after a flush", 200)
	wantSpent(t, g, spent(), spent())

	server.Stop()
	until("a budget is not closed without Redis", 503)
	must(t, server.Restart())
	until("a Redis that has lost everything is not asked", 200)
	wantSpent(t, g, spent(), spent())
	if n := metric(t, g, "dragoman_limit_settlements_lost_total"); n != 0 {
		t.Errorf("%v settlements lost", n)
	}
}

// flushed takes everything from a Redis, as an operator's mistake would.
func flushed(t testing.TB, server *redisserver.Server) {
	t.Helper()
	c, err := net.DialTimeout("tcp", server.Addr, time.Second)
	must(t, err)
	defer c.Close()
	_, err = c.Write([]byte("FLUSHALL\r\n"))
	must(t, err)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "+OK\r\n" {
		t.Fatalf("%q %v", line, err)
	}
}
