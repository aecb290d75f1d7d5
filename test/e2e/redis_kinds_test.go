package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
	"dragoman/test/redisserver"
)

// TestBudgetsOverAFailover: the primary dies and the sentinel promotes its replica. Meanwhile a budget is spent by its grace alone; afterwards
// all that was used is charged, once, also what the replica had not been told.
func TestBudgetsOverAFailover(t *testing.T) {
	server := redisserver.StartSentinel(t)
	g := harness.Start(t, harness.Options{Config: budgetConfig(fmt.Sprintf("quota: {grace: 5}\nstore: {redis: {addresses: [%q], sentinel_master: %s}}\n", server.Addr, server.Master))})
	answering(t, g, budgetWords, nil)
	ok, refused := 0, 0
	ask := func() int {
		t.Helper()
		a := askAs(t, g, "acme", "openai", budgetBody("priced", budgetWords, false))
		switch a.status {
		case 200:
			ok++
		case 503:
			refused++
		default:
			t.Fatalf("%v", a)
		}
		return a.status
	}
	eventually(t, "the first answer", func() bool { return ask() == 200 })
	for ok < 10 {
		ask()
	}
	wantSpent(t, g, int64(ok*budgetWords), int64(ok*budgetWords))
	server.Primary.Stop()
	begin, before := time.Now(), ok
	eventually(t, "a budget is not closed without Redis", func() bool { return ask() == 503 })
	if ok-before > 6 { // five of the grace, and one that was admitted before
		t.Errorf("%d answers on a grace of five", ok-before)
	}
	eventually(t, "the promoted replica is not asked", func() bool { return ask() == 200 })
	t.Logf("%s without a primary, %d refused", time.Since(begin).Round(time.Millisecond), refused)
	for range 5 {
		ask()
	}
	wantSpent(t, g, int64(ok*budgetWords), int64(ok*budgetWords))
	if n := metric(t, g, "dragoman_limit_settlements_lost_total"); n != 0 {
		t.Errorf("%v settlements lost", n)
	}
}

// TestRedisOverTLS: cache, turns and budgets through a TLS connection with a password, whose certificate is verified.
func TestRedisOverTLS(t *testing.T) {
	ca, err := fakeprovider.NewCA()
	must(t, err)
	file, err := ca.WriteFile(t.TempDir())
	must(t, err)
	certificate, err := ca.Issue("redis.internal")
	must(t, err)
	server := redisserver.Start(t, "--requirepass", "canary-of-redis")
	addr := server.ServeTLS(t, certificate)
	start := func(name string) *harness.Gateway {
		g, err := harness.New(t.Context(), harness.Options{Env: map[string]string{"REDIS_PASSWORD": "canary-of-redis"},
			Config: cacheConfig("ttl: 1h", "") + fmt.Sprintf("store: {redis: {address: %q, password: {env: REDIS_PASSWORD}, tls: {ca: %q, server_name: %s}}}\n", addr, file, name)})
		must(t, err)
		t.Cleanup(func() { must(t, g.Close()) })
		return g
	}
	a, b := start("redis.internal"), start("redis.internal")
	wantState(t, askAs(t, a, "acme", "openai", chatBody(cachedModel, "over TLS", false)), "miss", "echo: over TLS")
	settled(t, a)
	wantStateSoon(t, b, "openai", chatBody(cachedModel, "over TLS", false), "echo: over TLS")
	if text := a.Log() + b.Log(); len(text) == 0 || strings.Contains(text, "canary-of-redis") {
		t.Error("the password of Redis is in a log, or there is none")
	}
	// Somebody else's certificate: nothing is sent to it, and requests go on without Redis.
	other := start("other.internal")
	wantState(t, askAs(t, other, "acme", "openai", chatBody(cachedModel, "over TLS", false)), "miss", "echo: over TLS")
}
