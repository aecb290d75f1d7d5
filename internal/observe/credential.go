package observe

import "time"

// Credential counts a try to get a token for a provider's credential, and keeps the end of the token that is held after it: zero for none.
func (m *Metrics) Credential(name string, expires time.Time, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	name = m.clusters.value(name)
	m.tokenTries.WithLabelValues(name, result).Inc()
	end := 0.0
	if !expires.IsZero() {
		end = float64(expires.Unix())
	}
	m.tokenExpiry.WithLabelValues(name).Set(end)
}
