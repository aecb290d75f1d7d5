// Package e2e tests the whole gateway from outside: official SDKs and raw HTTP on one side, strict fake providers on the
// other, Dragoman and a real Envoy between them.
package e2e

import (
	"os"
	"testing"

	"dragoman/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
