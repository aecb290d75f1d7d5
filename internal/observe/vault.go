package observe

import "time"

// vaultResults are what reading a secret of Vault can come to, beside ok.
var vaultResults = map[string]bool{"away": true, "sealed": true, "limited": true, "denied": true, "missing": true, "invalid": true}

func (m *Metrics) vaultMetrics() {
	m.vaultReads = m.counter("dragoman_vault_reads_total", "References to secrets of Vault that were read.", "result")
	m.vaultLogins = m.counter("dragoman_vault_logins_total", "Logins at Vault and renewals of the token.", "op", "result")
	m.vaultRead = m.plainGauge("dragoman_vault_read_timestamp_seconds", "When the secret in use that was read longest ago was read; 0: none is in use.")
	m.vaultToken = m.plainGauge("dragoman_vault_token_expiry_timestamp_seconds", "When the token for Vault ends; 0: never, or there is none.")
}

// VaultRead counts a reference that was read; kind is what stood in the way, "" for nothing.
func (m *Metrics) VaultRead(kind string) {
	switch {
	case kind == "":
		kind = "ok"
	case !vaultResults[kind]:
		kind = other
	}
	m.vaultReads.WithLabelValues(kind).Inc()
}

// VaultLogin counts a login or a renewal; op is login or renew.
func (m *Metrics) VaultLogin(op string, err error) {
	if op != "renew" {
		op = "login"
	}
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.vaultLogins.WithLabelValues(op, result).Inc()
}

// VaultState keeps when the secret that was read longest ago was read, and when the token ends; zero for never.
func (m *Metrics) VaultState(oldest, tokenEnd time.Time) {
	m.vaultRead.Set(unixSeconds(oldest))
	m.vaultToken.Set(unixSeconds(tokenEnd))
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
