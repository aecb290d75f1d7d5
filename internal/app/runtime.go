package app

import (
	"runtime"
	"runtime/debug"
)

// TuneRuntime sets what Go's runtime cannot know. GOGC, GOMEMLIMIT and GOMAXPROCS win.
//
// Memory for CPU: what lives is small (a few MiB beside the bodies in flight), what each request allocates dies with it, so
// that Go's default of collecting at twice the live heap spends a fifth of the CPU on collecting. The soft limit brings the
// default's thrift back when many large bodies are in flight.
//
// Half the cores, when an Envoy of ours has the others: it takes the larger part of each request, and idle threads of Go that
// look for work on its cores cost a tenth of Dragoman's CPU.
func TuneRuntime(lookup func(string) (string, bool), withEnvoy bool) {
	if _, set := lookup("GOGC"); !set {
		debug.SetGCPercent(400)
	}
	if _, set := lookup("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(1 << 30)
	}
	if _, set := lookup("GOMAXPROCS"); !set && withEnvoy {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	}
}
