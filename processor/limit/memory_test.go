package limit_test

import (
	"testing"
	"time"

	"dragoman/internal/store/storetest"
	"dragoman/processor/limit"
)

func TestMemory(t *testing.T) {
	storetest.Limits(t, func(*testing.T, func() time.Time) (limit.Store, func()) { return limit.NewMemory(), func() {} })
}
