package processor

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/wiring"
)

// Headers by which a client narrows who may answer: never to more than its route allows.

// maxWish bounds such a header in bytes.
const maxWish = 1000

// wishes are what the client's headers say.
type wishes struct {
	ceilings config.Ceilings
	text     string // as they came
	fault    *fault.Fault
}

// read takes one header; it is none of these otherwise.
func (w *wishes) read(name, value string) {
	form := ""
	switch name {
	case wiring.HeaderProviders:
		if w.ceilings.Providers = listOf(value); w.ceilings.Providers == nil {
			form = "a list of providers: openai, local"
		}
	case wiring.HeaderDataRegions:
		if w.ceilings.DataRegions = listOf(value); w.ceilings.DataRegions == nil {
			form = "a list of data regions: eu, ch"
		}
	case wiring.HeaderMaxCost:
		if w.ceilings.Cost = dollarsOf(value); w.ceilings.Cost == 0 {
			form = "what the request may cost in USD: 0.05"
		}
	case wiring.HeaderMaxLatency:
		if w.ceilings.Latency = durationOf(value); w.ceilings.Latency == 0 {
			form = "a duration with a unit: 2s, 800ms"
		}
	}
	if form != "" || len(value) > maxWish {
		w.fault = fault.New(fault.InvalidRequest, "The header %s must be %s.", name, form)
	}
	w.text += name + "=" + value + ";"
}

// narrow leaves in a list of providers those that another one has, too; nil lists have all.
func narrow(list, other []string) []string {
	switch {
	case other == nil:
		return list
	case list == nil:
		return other
	}
	both := []string{}
	for _, name := range list {
		if slices.Contains(other, name) {
			both = append(both, name)
		}
	}
	return both
}

// listOf reads names between commas, nil when there is none.
func listOf(value string) (names []string) {
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// dollarsOf reads an amount of USD, 0 when it is none.
func dollarsOf(value string) config.MicroUSD {
	usd, err := strconv.ParseFloat(value, 64)
	if err != nil || !(usd > 0) || usd > 1e6 {
		return 0
	}
	return max(1, config.MicroUSD(math.Round(usd*1e6)))
}

// durationOf reads a duration, 0 when it is none.
func durationOf(value string) time.Duration {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0
	}
	return d
}
