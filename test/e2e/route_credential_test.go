package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/test/harness"
	"dragoman/test/redisserver"
)

// TestCredentialsAreSharedByReplicas: three gateways with one Redis use up what one credential is granted, and not three times as much;
// what is beyond it goes to the next candidate. With Redis away each goes by its own count, and nobody is refused for that.
func TestCredentialsAreSharedByReplicas(t *testing.T) {
	const limit, replicas, most = 60, 3, 60 + 3*60/8
	server := redisserver.Start(t)
	config := routeProviders + fmt.Sprintf("store: {redis: {address: %q}}\nroutes: [{model: both, strategy: fallback, candidates: [big, small]}]\n", server.Addr)
	config = strings.Replace(config, `{{keyvar "good"}}'}`, fmt.Sprintf(`{{keyvar "good"}}'}, limits: {requests_per_minute: %d}`, limit), 1)
	var gs []*harness.Gateway
	for range replicas {
		g, err := harness.New(t.Context(), harness.Options{Fakes: routeFakes(), Config: config})
		must(t, err)
		t.Cleanup(func() { must(t, g.Close()) })
		gs = append(gs, g)
	}
	good := func() (n int) {
		for _, g := range gs {
			n += g.Fakes["good"].Counters().Requests
		}
		return n
	}
	press := func(each int) (answered, refused int64) {
		var all sync.WaitGroup
		for i := range 4 * replicas {
			all.Go(func() {
				for range each {
					switch a := post(t, gs[i%replicas], paths["openai"], simple("both")); a.status {
					case 200:
						atomic.AddInt64(&answered, 1)
					default:
						atomic.AddInt64(&refused, 1)
						t.Errorf("%v", a)
					}
				}
			})
		}
		all.Wait()
		return answered, refused
	}
	begin := time.Now()
	press(25) // 300 requests
	flowed := int(limit * time.Since(begin).Minutes())
	n := good()
	t.Logf("%d of 300 requests went to the credential that is granted %d, %d flowed back meanwhile", n, limit, flowed)
	if n > most+flowed || n < limit*8/10 {
		t.Errorf("%d requests, want about %d and at most %d", n, limit, most+flowed)
	}

	server.Stop()
	eventually(t, "a gateway waits for a Redis that is gone", func() bool {
		before := time.Now()
		a := post(t, gs[0], paths["openai"], simple("both"))
		return a.status == 200 && time.Since(before) < time.Second && metric(t, gs[0], "dragoman_redis_available") == 0
	})
	before := gs[1].Fakes["good"].Counters().Requests
	press(10)
	if own := gs[1].Fakes["good"].Counters().Requests; own > limit+most+flowed || own < before {
		t.Errorf("a replica alone sent %d", own)
	}
}
