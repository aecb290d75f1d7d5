package cohere

import (
	"testing"

	"dragoman/translate/translatetest"
)

func TestSuite(t *testing.T) { translatetest.Run(t, Codec{}) }
