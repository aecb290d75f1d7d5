package health

import (
	"time"

	"dragoman/internal/config"
)

// Class says how an attempt at a cluster ended, as far as the cluster's health goes. A request that the provider rightly
// refused (400, 404, 422) is no outcome: it says nothing about the cluster.
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
	classes
)

var classNames = [classes]string{
	"unknown", "success", "server_error", "connect_failure", "timeout", "rate_limited", "auth_dead", "bad_answer", "cut",
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
// failure of the cluster but a date to come back at; one without a date pauses the cluster all the same.
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
	TTFT       time.Duration // to the first content of a stream or the first byte of a whole answer, 0 when unknown
	Duration   time.Duration // of the whole attempt
	Model      string        // the provider's own id of the model, "" when unknown: TTFT is kept per model
}

// State is why a cluster gets the weight it gets.
type State uint8

// The states.
const (
	Healthy   State = iota // nearly all attempts succeed, or nothing is known
	Degraded               // some attempts fail
	Unhealthy              // most attempts fail
	Limited                // the provider said when to come back: RetryAt
	Dead                   // the provider refused the credential; tried again at RetryAt
	states
)

var stateNames = [states]string{"healthy", "degraded", "unhealthy", "rate_limited", "auth_dead"}

// String is the state's name as metrics, logs and the admin API show it.
func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return "unknown"
}

// MarshalText gives JSON the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
