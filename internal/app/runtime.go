package app

import (
	"runtime/debug"
)

// TuneGC trades memory for CPU: what lives is small (a few MiB beside the bodies in flight), what each request allocates dies
// with it, so that Go's default of collecting at twice the live heap spends a fifth of the CPU on collecting. The soft limit
// brings the default's thrift back when many large bodies are in flight. GOGC and GOMEMLIMIT win.
func TuneGC(lookup func(string) (string, bool)) {
	if _, set := lookup("GOGC"); !set {
		debug.SetGCPercent(400)
	}
	if _, set := lookup("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(1 << 30)
	}
}
