package config

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// maxMeters bounds the limits and budgets of one level. All of a caller's are looked at for each of its requests.
const maxMeters = 32

// limited is what every level of the hierarchy may have.
type limited interface {
	GetLimits() *dragomanv1.RateLimits
	GetBudgets() []*dragomanv1.Budget
}

// meters compiles one level's limits and budgets and adds them to those above, which are shared.
func (b *builder) meters(above []*Meter, path, level string, l limited) []*Meter {
	out := b.limits(above[:len(above):len(above)], path+"limits", level, l.GetLimits())
	names := map[string]bool{}
	for i, budget := range l.GetBudgets() {
		at := fmt.Sprintf("%sbudgets[%d]", path, i)
		m := b.budget(at, level, budget)
		if m == nil {
			continue
		}
		if names[m.Name] {
			b.fail(at+".name", "another budget of this level is called %q: give it a name of its own", m.Name)
		}
		names[m.Name] = true
		out = append(out, m)
	}
	if n := len(out) - len(above); n > maxMeters {
		b.fail(strings.TrimSuffix(path, "."), "has %d limits and budgets; %d are the most of one level", n, maxMeters)
	}
	return out
}

// rates are what both kinds of limits have.
type rates interface {
	GetRequestsPerMinute() uint64
	GetTokensPerMinute() uint64
	GetConcurrentRequests() uint64
	GetConcurrentStreams() uint64
	GetMode() string
}

func (b *builder) limits(out []*Meter, path, level string, l *dragomanv1.RateLimits) []*Meter {
	out = addRates(out, level, l, l.GetMode(), nil)
	for i, per := range l.GetPerModel() {
		at := fmt.Sprintf("%s.per_model[%d]", path, i)
		b.patterns(at, per.Models)
		before := len(out)
		if out = addRates(out, level, per, or(per.Mode, l.Mode), per.Models); len(out) == before {
			b.fail(at, "has no limit")
		}
	}
	return out
}

func addRates(out []*Meter, level string, r rates, mode string, models []string) []*Meter {
	for _, x := range [...]struct {
		kind  MeterKind
		name  string
		key   string
		limit uint64
	}{
		{MeterRequests, "requests per minute", "rpm", r.GetRequestsPerMinute()}, {MeterTokens, "tokens per minute", "tpm", r.GetTokensPerMinute()},
		{MeterConcurrent, "concurrent requests", "requests", r.GetConcurrentRequests()}, {MeterStreams, "concurrent streams", "streams", r.GetConcurrentStreams()},
	} {
		if x.limit > 0 {
			out = append(out, NewMeter(Meter{Key: level + "|" + x.key + modelsKey(models), Level: level, Name: x.name + modelsName(models), Kind: x.kind,
				Mode: modeOf(mode), Models: models, Global: level == globalLevel}, int64(x.limit)))
		}
	}
	return out
}

// modelsKey tells counters of the same kind apart. The order of the patterns does not matter.
func modelsKey(models []string) string {
	if len(models) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(models))
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(sorted, "\n")))
	return "|" + strconv.FormatUint(h.Sum64(), 36)
}

func modelsName(models []string) string {
	if len(models) == 0 {
		return ""
	}
	return " of " + strings.Join(models, ", ")
}

func modeOf(word string) Mode {
	switch word {
	case "soft":
		return Soft
	case "shadow":
		return Shadow
	default:
		return Hard
	}
}

func (b *builder) budget(path, level string, x *dragomanv1.Budget) *Meter {
	m := Meter{Level: level, Name: x.Name, Kind: MeterBudgetUSD, Mode: modeOf(x.Mode), Models: x.Models, WarnAt: slices.Clone(x.WarnAt), Global: level == globalLevel}
	b.patterns(path, x.Models)
	limit := b.amount(path, x.Usd, x.Tokens)
	if x.Tokens != nil {
		m.Kind = MeterBudgetTokens
	}
	m.Period = b.period(path, x)
	if len(m.WarnAt) == 0 {
		m.WarnAt = []float64{0.8}
	}
	slices.Sort(m.WarnAt)
	if len(m.WarnAt) > 8 {
		b.fail(path+".warn_at", "has more than 8 parts")
	}
	unit, span := "usd", m.Period.Per.String()
	if m.Kind == MeterBudgetTokens {
		unit = "tokens"
	}
	if m.Period.Per == Rolling {
		span = m.Period.Rolling.String()
	}
	if m.Name == "" {
		m.Name = unit + "-per-" + span
	}
	zone := ""
	if m.Period.Zone != nil {
		zone = m.Period.Zone.String()
	}
	m.Key = strings.Join([]string{level, "budget", m.Name, unit, span, zone}, "|") + modelsKey(m.Models)
	b.unpriced(path, x, &m)
	for i, o := range x.Overrides {
		b.override(fmt.Sprintf("%s.overrides[%d]", path, i), o, &m)
	}
	return NewMeter(m, limit)
}

// amount is what a budget holds: micro-USD or tokens.
func (b *builder) amount(path string, usd *float64, tokens *uint64) int64 {
	switch {
	case usd != nil && tokens != nil:
		b.fail(path+".usd", "and tokens exclude each other")
	case usd != nil:
		return int64(math.Round(*usd * 1e6))
	case tokens != nil:
		return int64(*tokens)
	default:
		b.fail(path, "has no amount: usd or tokens")
	}
	return 0
}

func (b *builder) period(path string, x *dragomanv1.Budget) Period {
	p := Period{Zone: time.UTC}
	switch {
	case x.Per != "" && x.Rolling != nil:
		b.fail(path+".per", "and rolling exclude each other")
	case x.Rolling != nil:
		p.Rolling = x.Rolling.AsDuration()
		if x.TimeZone != "" {
			b.fail(path+".time_zone", "is of per: a rolling window has none")
		}
		return p
	case x.Per == "":
		b.fail(path+".per", "is missing: hour, day, week or month (or say rolling: 24h)")
	}
	p.Per = Per(max(slices.Index(perNames[:], x.Per), int(Hour)))
	if x.TimeZone == "" {
		return p
	}
	zone, err := time.LoadLocation(x.TimeZone)
	if err != nil || x.TimeZone == "Local" {
		b.fail(path+".time_zone", "must be the name of a time zone, such as Europe/Berlin or UTC")
		return p
	}
	p.Zone = zone
	return p
}

// unpriced settles what a budget in USD makes of models without a price.
func (b *builder) unpriced(path string, x *dragomanv1.Budget, m *Meter) {
	if m.Kind != MeterBudgetUSD {
		if x.Unpriced != "" || x.AssumedPrice != nil {
			b.fail(path+".unpriced", "and assumed_price are of usd: tokens have no price")
		}
		return
	}
	word := x.Unpriced
	switch {
	case word != "":
	case x.AssumedPrice != nil:
		word = "assume"
	case m.Mode == Hard:
		word = "refuse"
	default:
		word = "ignore"
	}
	m.Unpriced = map[string]Unpriced{"refuse": UnpricedRefuse, "assume": UnpricedAssume, "ignore": UnpricedIgnore}[word]
	if m.Unpriced == UnpricedRefuse && m.Mode != Hard {
		b.fail(path+".unpriced", "is refuse, but a budget of mode %s refuses nothing", m.Mode)
	}
	if (m.Unpriced == UnpricedAssume) != (x.AssumedPrice != nil) {
		b.fail(path+".assumed_price", "goes with unpriced: assume")
	}
	if x.AssumedPrice != nil {
		m.Assumed = priceOf(x.AssumedPrice)
	}
}

func (b *builder) override(path string, o *dragomanv1.BudgetOverride, m *Meter) {
	out := Override{Limit: b.amount(path, o.Usd, o.Tokens), Reason: o.Reason}
	if o.Usd != nil && o.Tokens == nil && m.Kind != MeterBudgetUSD || o.Tokens != nil && o.Usd == nil && m.Kind != MeterBudgetTokens {
		b.fail(path, "must be in what the budget is in: usd or tokens")
	}
	if len(o.Reason) > 200 {
		b.fail(path+".reason", "must be at most 200 bytes")
	}
	out.Until = b.moment(path+".until", o.Until)
	if o.From != "" {
		out.From = b.moment(path+".from", o.From)
		if !out.Until.IsZero() && !out.From.Before(out.Until) {
			b.fail(path+".from", "must be before until")
		}
	}
	m.Overrides = append(m.Overrides, out)
}

func (b *builder) moment(path, s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil && s != "" {
		b.fail(path, "must be a time of RFC 3339, such as 2026-03-01T00:00:00Z")
	}
	return t
}
