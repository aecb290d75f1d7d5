// Package wire holds the small things every provider's codec needs at the edge: when to retry, how to show a foreign
// body without its secrets, how to read a data URI. It knows no schema.
package wire

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter caps what a provider may ask for: an outlier (a clock far ahead, milliseconds sent as seconds) must not
// take a provider out for a day.
const MaxRetryAfter = time.Hour

// RetryAfter reads when a provider wants to be asked again, 0 when it did not say (D128). The finer header wins, as in
// the vendors' SDKs: retry-after-ms, x-ms-retry-after-ms (Azure), then retry-after in seconds, whole or fractional, or as
// an HTTP date. header looks a name up in lower case.
func RetryAfter(header func(string) string, now time.Time) time.Duration {
	if header == nil {
		return 0
	}
	for _, name := range [...]string{"retry-after-ms", "x-ms-retry-after-ms"} {
		if d, ok := duration(header(name), time.Millisecond); ok {
			return d
		}
	}
	v := header("retry-after")
	if d, ok := duration(v, time.Second); ok {
		return d
	}
	if at, err := http.ParseTime(strings.TrimSpace(v)); err == nil {
		if sent, err := http.ParseTime(header("date")); err == nil {
			now = sent
		}
		return bound(at.Sub(now))
	}
	return 0
}

func duration(v string, unit time.Duration) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	if v == "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || n != n {
		return 0, false
	}
	if n > float64(MaxRetryAfter/unit) { // before the conversion: a float beyond int64 has no defined value there
		return MaxRetryAfter, true
	}
	if n <= 0 {
		return 0, true
	}
	return bound(time.Duration(n * float64(unit))), true
}

func bound(d time.Duration) time.Duration {
	return min(max(d, 0), MaxRetryAfter)
}

// retryWords stand before a time in error messages: "Please try again in 7.66s" (OpenAI, Groq), "Please retry after 26
// seconds" (Azure).
var retryWords = [...]string{"try again in ", "retry after ", "retry in "}

// RetryIn reads when a provider wants to be asked again from an error's message, for one that says it nowhere else; 0 when
// it does not.
func RetryIn(message string) time.Duration {
	for _, words := range retryWords {
		_, rest, ok := strings.Cut(message, words)
		if !ok {
			continue
		}
		number, unit, _ := strings.Cut(rest, " ")
		number = strings.TrimRight(number, ".,;!)")
		if d, err := time.ParseDuration(number); err == nil { // 1m26.4s, 250ms
			return bound(d)
		}
		if n, err := strconv.ParseFloat(number, 64); err == nil && n >= 0 {
			switch {
			case strings.HasPrefix(unit, "ms"), strings.HasPrefix(unit, "millisecond"):
				d, _ := duration(number, time.Millisecond)
				return d
			case strings.HasPrefix(unit, "s"):
				d, _ := duration(number, time.Second)
				return d
			case strings.HasPrefix(unit, "minute"):
				d, _ := duration(number, time.Minute)
				return d
			}
		}
	}
	return 0
}
