package storetest

import (
	"math/rand/v2"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/processor/limit"
)

// limitsModel drives a store with random reservations, settlements, losses and time against a plain model of two sums and a count of
// concurrent requests: after any sequence they agree, nothing is negative, and nothing that is held goes beyond its limit.
func limitsModel(t *testing.T, open OpenLimits) {
	for seed := range uint64(4) {
		b := newLimitsBench(t, open)
		meters := []*config.Meter{meter(config.MeterBudgetUSD, "usd", 3000), meter(config.MeterBudgetTokens, "tokens", 2000), meter(config.MeterConcurrent, "c", 12)}
		model := &sums{spent: make([]int64, len(meters)), day: b.time().Truncate(24 * time.Hour)}
		rnd := rand.New(rand.NewPCG(seed, 7))
		for step := range 400 {
			model.advance(b.time())
			switch n := rnd.IntN(20); {
			case n < 9:
				amounts := []int64{int64(rnd.IntN(500)), int64(rnd.IntN(300)), 1}
				r, ok := b.take("a", b.op(meters[0], amounts[0]), b.op(meters[1], amounts[1]), b.op(meters[2], 1))
				if fits := model.fits(meters, amounts, b.time()); ok != fits {
					t.Fatalf("seed %d, step %d: granted %v, the model says %v", seed, step, ok, fits)
				}
				if ok {
					model.open = append(model.open, held{r, amounts, b.time().Add(lease)})
				}
			case n < 17 && len(model.open) > 0:
				i := rnd.IntN(len(model.open))
				h := model.open[i]
				model.open = append(model.open[:i], model.open[i+1:]...)
				use := []int64{int64(rnd.IntN(int(h.amounts[0]) + 1)), int64(rnd.IntN(int(h.amounts[1]) + 1)), 0}
				b.give(h.r, use...)
				for j := range use {
					model.spent[j] += use[j]
				}
			case n < 19:
				b.pass(time.Duration(rnd.IntN(200)) * time.Second)
			default:
				b.pass(time.Duration(rnd.IntN(5)) * time.Hour)
			}
			model.advance(b.time())
			reserved := model.reserved(b.time(), len(meters))
			for j, m := range meters {
				b.want("a", m, model.spent[j], reserved[j])
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

// held is a reservation that the model knows. Expired ones stay: they may be settled late.
type held struct {
	r       *limit.Reservation
	amounts []int64
	until   time.Time
}

type sums struct {
	spent []int64
	open  []held
	day   time.Time
}

func (s *sums) advance(now time.Time) {
	if day := now.Truncate(24 * time.Hour); day.After(s.day) {
		s.day = day
		clear(s.spent)
	}
}

func (s *sums) reserved(now time.Time, n int) []int64 {
	sum := make([]int64, n)
	for _, h := range s.open {
		if now.Before(h.until) {
			for j := range sum {
				sum[j] += h.amounts[j]
			}
		}
	}
	return sum
}

func (s *sums) fits(meters []*config.Meter, amounts []int64, now time.Time) bool {
	reserved := s.reserved(now, len(meters))
	for j, m := range meters {
		if s.spent[j]+reserved[j]+amounts[j] > m.Limit(now) {
			return false
		}
	}
	return true
}
