package health

import (
	"fmt"
	"time"

	"dragoman/internal/config"
)

// Class says how an attempt at a cluster ended, as far as the cluster's health goes. A request that the provider rightly
// refused (400, 422) is no outcome: it says nothing about the cluster.
type Class uint8

// The classes. The zero value is none of them, so that a forgotten field never counts as a success.
const (
	Success        Class = iota + 1
	ServerError          // 5xx
	ConnectFailure       // refused, unreachable, TLS handshake
	Timeout              // per-try or idle timeout, 408
	RateLimited          // 429; Outcome.RetryAfter when the provider said
	AuthDead             // 401, 403: the cluster's own credential was refused
	BadAnswer            // a good status with a body that no schema allows, or with an error in it
	Cut                  // the answer broke off
	NoModel              // 404: the credential's account lacks the model
	Quota                // 402, or a 429 that says so: the account has no credit left
	classes
)

var classNames = [classes]string{
	"unknown", "success", "server_error", "connect_failure", "timeout", "rate_limited", "auth_dead", "bad_answer", "cut", "no_model", "quota",
}

// String is the class's name as metrics and logs show it.
func (c Class) String() string {
	if c < classes {
		return classNames[c]
	}
	return classNames[0]
}

// Classes lists every class, for tables that must be complete.
func Classes() []Class {
	all := make([]Class, 0, classes-1)
	for c := Success; c < classes; c++ {
		all = append(all, c)
	}
	return all
}

// weight is how many failures one outcome of this class counts as. A timeout has cost its client the most. A 429 is not a
// failure of the cluster but a date to come back at; that a model or credit is lacking is one, too.
func (c Class) weight() float64 {
	switch c {
	case Timeout:
		return 2
	case ServerError, ConnectFailure, AuthDead, BadAnswer, Cut:
		return 1
	default:
		return 0
	}
}

// Outcome is what one attempt tells about its cluster.
type Outcome struct {
	Cluster    config.ClusterName
	Class      Class
	Status     int           // the provider's HTTP status, 0 when it sent none
	RetryAfter time.Duration // 0 when the provider did not say
	Start      time.Time     // of the attempt, zero when unknown
	Model      string        // the provider's own id of the model, "" when unknown: limits and latencies are kept per model
	TTFT       time.Duration // of a stream: from the attempt's start to its first content; else 0
	Check      bool          // an active check: what it asks for says that the provider and its credential are there, not that models answer
	Whole      time.Duration // of a whole answer: from the attempt's start to its end; else 0
}

// State is why a cluster gets the weight it gets.
type State uint8

// The states.
const (
	Healthy  State = iota // nearly all attempts succeed, or nothing is known
	Degraded              // some attempts fail, or it is taken back step by step
	Open                  // attempts fail: none is made until RetryAt
	HalfOpen              // that time is over: one attempt at a time is made to see
	Limited               // the provider said when to come back: RetryAt
	Dead                  // the provider refused the credential or has no credit for it; tried again at RetryAt
	states
)

var stateNames = [states]string{"healthy", "degraded", "open", "half_open", "rate_limited", "auth_dead"}

// String is the state's name as metrics, logs and the admin API show it.
func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return "unknown"
}

// MarshalText gives JSON the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("no state is called %q", text)
}
