package sqldb

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// BenchmarkApplyBatch is what storing a record costs once names are known, in batches as a busy gateway makes them: of one caller, and of
// many whose requests are mixed.
func BenchmarkApplyBatch(b *testing.B) {
	for _, callers := range []int{1, 200} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			db, err := OpenSQLite(filepath.Join(b.TempDir(), "ledger.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			w := &benchWriter{at: scaleUntil, callers: callers}
			apply := func(n int) {
				if err := db.Apply(context.Background(), w.batch(n)); err != nil {
					b.Fatal(err)
				}
			}
			apply(1000)
			var used time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += 1000 {
				b.StopTimer()
				batch := w.batch(min(1000, b.N-n))
				b.StartTimer()
				begin := cpuTime()
				if err := db.Apply(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
				used += cpuTime() - begin
			}
			b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
		})
	}
}

// benchWriter makes batches whose records follow each other.
type benchWriter struct {
	at      time.Time
	number  uint64
	callers int
}

func (w *benchWriter) batch(n int) *ledger.Batch {
	price := &config.Price{Input: 250_000, Output: 2_000_000}
	b := &ledger.Batch{Writer: "bench", First: w.number + 1, Prices: map[string]*config.Price{ledger.PriceVersion(price): price}, Received: w.at}
	for range n {
		w.number++
		w.at = w.at.Add(250 * time.Microsecond)
		caller := int(w.number*7919) % w.callers
		r := &account.Record{ID: fmt.Sprintf("%08x-5c22-4bd7-9a3e-%012x", w.number*2654435761%(1<<32), w.number), Time: w.at, Organisation: "group", Tenant: "acme", Team: "search",
			User: "ada", Key: fmt.Sprint("key-", caller), Endpoint: "/v1/chat/completions", Schema: chat.OpenAI, Asked: "bench", Route: "bench", Model: "up-model", Known: true,
			Provider: "up", Cluster: "up/default", Status: 200, Outcome: "ok", Attempts: 1, Priced: true, Price: price,
			Usage: chat.Usage{Known: true, Input: 500 + int64(caller), Output: 120}, Duration: time.Millisecond, TTFT: time.Millisecond, Overhead: 100 * time.Microsecond}
		r.Cost = price.Cost(r.Usage)
		b.Records = append(b.Records, ledger.Numbered{Number: w.number, Record: r})
	}
	b.Through = w.number
	return b
}
