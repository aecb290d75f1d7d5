package sqldb

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"dragoman/internal/ledger"
)

// What a command did stands in a chain of its own that verifies, and whose end can be kept.
func TestAuditOnce(t *testing.T) {
	db := sqlite(t, filepath.Join(t.TempDir(), "ledger.db"))
	var heads []string
	for _, action := range []string{"key.create", "key.revoke"} {
		h, err := ledger.AuditOnce(t.Context(), db, ledger.Entry{Action: action, Outcome: "ok", Tenant: "acme", Key: "ci", Subject: "key_1", Detail: "by me"})
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, fmt.Sprintf("%s:%d:%x", h.Writer, h.Number, h.Hash))
	}
	slices.Sort(heads)
	v, err := ledger.Verify(t.Context(), db, nil)
	if err != nil || len(v.Faults) > 0 || v.Chains != 2 || v.Entries != 4 || !slices.Equal(v.Heads, heads) {
		t.Fatalf("%+v, %v; want the heads %v", v, err, heads)
	}
	if _, err := db.write.Exec("UPDATE dragoman_audit SET key_name = 'other' WHERE action = 'key.revoke'"); err != nil {
		t.Fatal(err)
	}
	if v, err := ledger.Verify(t.Context(), db, nil); err != nil || len(v.Faults) != 1 {
		t.Errorf("a changed entry: %+v, %v", v, err)
	}
	if _, err := db.write.Exec("DELETE FROM dragoman_audit"); err != nil {
		t.Fatal(err)
	}
	if v, err := ledger.Verify(t.Context(), db, heads); err != nil || len(v.Faults) != 2 {
		t.Errorf("chains that are gone: %+v, %v", v, err)
	}
}
