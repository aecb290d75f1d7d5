package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"
)

// AuditOnce adds an entry to a database's audit trail for a program that keeps no log of its own, such as a command. It stands in a chain of its
// own; the head that is returned, kept elsewhere, shows later that nothing of it is gone. The error is the database's.
func AuditOnce(ctx context.Context, s Store, a Entry) (Head, error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	if a.Time.IsZero() {
		a.Time = time.Now()
	}
	head := Head{Writer: hex.EncodeToString(id[:])}
	b := &Batch{Writer: head.Writer, First: 1, Through: 2, Received: a.Time}
	for _, e := range []Entry{{Time: a.Time, Action: ChainStart, Outcome: "ok"}, a} {
		e.mend()
		e.Writer, e.Number = head.Writer, head.Number+1
		e.Hash = HashEntry(head.Hash, &e)
		head.Number, head.Hash = e.Number, e.Hash
		b.Entries = append(b.Entries, Numbered{Number: e.Number, Entry: &e})
	}
	return head, s.Apply(ctx, b)
}
