package processor

import "time"

// routingHeaders tell the client, and one that debugs, how it was decided who answers.
func (ex *Exchange) routingHeaders(h *headers) {
	if ex.ruled.rule != "" {
		h.set("x-dragoman-rule", ex.ruled.rule)
	}
	if ex.downgraded != "" {
		h.set("x-dragoman-downgraded", ex.downgraded)
	}
	if ex.queued >= time.Millisecond {
		h.set("x-dragoman-queued", ex.queued.Round(time.Millisecond).String())
	}
	if ex.decision == nil {
		return
	}
	if ex.decision.Arm != "" {
		h.set("x-dragoman-variant", ex.decision.Arm)
	}
	if ex.debug {
		h.set("x-dragoman-route", ex.Explain())
	}
}

// Explain is the whole reason for the choice, in one line.
func (ex *Exchange) Explain() string {
	text := ex.decision.Explain()
	if ex.class != nil {
		text = "task " + ex.class.Task.String() + "; " + text
	}
	if ex.downgraded != "" {
		text = "downgraded: " + ex.downgraded + "; " + text
	}
	if ex.ruled.rule != "" {
		text = "rule " + ex.ruled.rule + "; " + text
	}
	return text
}
