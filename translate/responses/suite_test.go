package responses_test

import (
	"testing"

	"dragoman/translate/responses"
	"dragoman/translate/translatetest"
)

var codec = responses.New()

func TestSuite(t *testing.T) { translatetest.Run(t, codec) }
