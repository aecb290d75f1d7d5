package limit

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func asFault(t *testing.T, err error) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a fault", err)
	}
	return f
}

func TestStatusHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		status Status
		want   []Header
	}{
		"nothing is limited": {Status{}, nil},
		"requests": {Status{Requests: Window{"key:a", 60, 59, time.Second}}, []Header{
			{"x-ratelimit-limit-requests", "60"}, {"x-ratelimit-remaining-requests", "59"}, {"x-ratelimit-reset-requests", "1s"},
		}},
		"tokens": {Status{Tokens: Window{"key:a", 150000, 0, 6 * time.Minute}}, []Header{
			{"x-ratelimit-limit-tokens", "150000"}, {"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "6m0s"},
		}},
		"both": {Status{Requests: Window{"key:a", 5000, 4999, 12 * time.Millisecond}, Tokens: Window{"key:a", 160000, 159976, 9*time.Millisecond + 1}}, []Header{
			{"x-ratelimit-limit-requests", "5000"}, {"x-ratelimit-remaining-requests", "4999"}, {"x-ratelimit-reset-requests", "12ms"},
			{"x-ratelimit-limit-tokens", "160000"}, {"x-ratelimit-remaining-tokens", "159976"}, {"x-ratelimit-reset-tokens", "10ms"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.status.Headers(); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestWorstCase(t *testing.T) {
	wide := []config.Level{{ID: "tenant:a", Tokens: 1_000_000}, {ID: "key:a/b", Requests: 5}}
	small := []config.Level{{ID: "tenant:a", Tokens: 1_000_000}, {ID: "key:a/b", Tokens: 1000}}
	for name, c := range map[string]struct {
		levels              []config.Level
		input, maxOutput, n int64
		want                int64
	}{
		"a cap":                          {wide, 100, 500, 1, 600},
		"several answers":                {wide, 100, 500, 3, 1600},
		"no n":                           {wide, 100, 500, 0, 600},
		"no cap":                         {wide, 100, 0, 1, 100 + AssumedOutput},
		"no cap, small limit":            {small, 100, 0, 1, 600},
		"a cap is never cut":             {small, 100, 5000, 1, 5100},
		"a cap that would overflow":      {wide, 100, math.MaxInt64, 128, maxTokens},
		"n that would overflow":          {wide, 100, 1 << 30, math.MaxInt64, maxTokens},
		"negative numbers take no token": {wide, -5, -5, -5, AssumedOutput},
	} {
		t.Run(name, func(t *testing.T) {
			if got := WorstCase(c.levels, c.input, c.maxOutput, c.n); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestReservationClosesOnce(t *testing.T) {
	levels := []config.Level{{ID: "key:a", Tokens: 10}}
	r := NewReservation(start, levels, 100)
	if _, delta, ok := r.Close(start, 30); !ok || delta != -70 {
		t.Errorf("first close: %d, %v", delta, ok)
	}
	if _, delta, ok := r.Close(start, 30); ok {
		t.Errorf("second close: %d, %v", delta, ok)
	}
	if _, _, ok := (*Reservation)(nil).Close(start, 30); ok {
		t.Error("a nil reservation has something to settle")
	}
}

// What flowed back by itself must not be given back again; what was used beyond the reservation is owed all the same.
func TestReservationAfterItsLease(t *testing.T) {
	levels := []config.Level{{ID: "key:a", Tokens: 10}}
	late := start.Add(Lease + time.Second)
	if _, delta, ok := NewReservation(start, levels, 100).Close(late, 30); ok {
		t.Errorf("a late refund of %d", delta)
	}
	if _, delta, ok := NewReservation(start, levels, 100).Close(late, 130); !ok || delta != 30 {
		t.Errorf("late charge: %d, %v", delta, ok)
	}
}

func TestUnlimited(t *testing.T) {
	var c Counters = Unlimited{}
	r, status, err := c.Reserve(start, []config.Level{{ID: "key:a", Requests: 1}}, 1<<40)
	if err != nil || status.Headers() != nil {
		t.Errorf("got %v, %v", status, err)
	}
	c.Settle(start, r, 5)
}

func TestRefusalSaysWhichLimitOfWhom(t *testing.T) {
	m := NewMemory()
	levels := []config.Level{{ID: "tenant:acme", Tokens: 100_000}, {ID: "team:acme/search", Tokens: 1000}, {ID: "key:acme/search/ci", Tokens: 5000}}
	if _, _, err := m.Reserve(start, levels, 900); err != nil {
		t.Fatal(err)
	}
	_, status, err := m.Reserve(start, levels, 200)
	f := asFault(t, err)
	want := "Rate limit reached for team acme/search: limit 1000 tokens per minute, used or reserved 900, requested 200. Try again in 6s."
	if f.Kind != fault.RateLimited || f.Code != "rate_limit_exceeded" || f.Message != want || f.RetryAfter != 6*time.Second {
		t.Errorf("got %#v", f)
	}
	if status.Tokens != (Window{"team:acme/search", 1000, 100, 54 * time.Second}) {
		t.Errorf("got %+v", status.Tokens)
	}
	if _, _, err := m.Reserve(start.Add(f.RetryAfter), levels, 200); err != nil {
		t.Errorf("after retry-after: %v", err)
	}
}

func TestRequestThatNoBucketHoldsIsNotRetried(t *testing.T) {
	m := NewMemory()
	levels := []config.Level{{ID: "tenant:acme", Tokens: 500}, {ID: "key:acme/ci", Tokens: 1000}}
	_, _, err := m.Reserve(start, levels, 1001)
	f := asFault(t, err)
	if f.Kind != fault.InvalidRequest || f.Code != "request_exceeds_rate_limit" || f.Param != "max_tokens" || f.RetryAfter != 0 {
		t.Errorf("got %#v", f)
	}
	if !strings.Contains(f.Message, "tenant acme") || !strings.Contains(f.Message, "500") {
		t.Errorf("the message does not name the tightest level: %s", f.Message)
	}
}
