package config

import (
	"math"
	"math/bits"

	"dragoman/translate/chat"
)

// Price is in micro-USD per million tokens. Compile fills a class without a price of its own: what is read from or written
// to a prompt cache costs what Input costs, a one-hour entry what a five-minute one costs.
type Price struct {
	Input, Output, CacheRead, CacheWrite, CacheWrite1h MicroUSD
	Source, Date                                       string
	// Long replaces the whole price of a request whose prompt, cached tokens included, has more than Above tokens. Its own
	// Long is nil.
	Long  *Price
	Above int64
}

// Cost prices one usage, rounded up to a whole micro-USD. It is exact, and saturates: a provider may report any number.
// Negative counts are taken as 0.
func (p *Price) Cost(u chat.Usage) MicroUSD {
	if p.Long != nil && u.Prompt() > p.Above {
		p = p.Long
	}
	var hi, lo uint64
	for _, class := range [...]struct {
		price  MicroUSD
		tokens int64
	}{{p.Input, u.Input}, {p.CacheRead, u.CacheRead}, {p.CacheWrite, u.CacheWrite}, {p.CacheWrite1h, u.CacheWrite1h}, {p.Output, u.Output}} {
		h, l := bits.Mul64(uint64(max(class.price, 0)), uint64(max(class.tokens, 0)))
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi, _ = bits.Add64(hi, h, carry)
	}
	lo, carry := bits.Add64(lo, 999_999, 0)
	hi += carry
	if hi >= 1_000_000 {
		return math.MaxInt64
	}
	cost, _ := bits.Div64(hi, lo, 1_000_000)
	return MicroUSD(min(cost, math.MaxInt64))
}
