package sqldb

import (
	"context"
	"os"
)

// walLimit is how large SQLite's write-ahead log may grow before a writer sees to it that it begins anew.
const walLimit = 64 << 20

// checkpoint bounds SQLite's log. By itself it begins anew only in a moment in which nobody reads what is in it, which with readers who follow
// each other closely may never come, and it would grow for ever. RESTART copies all of it into the database, so that new readers need it no
// longer, and waits for those who do (busy_timeout at most; nobody but the ledger's own writer waits with it). One who reads for longer, such as
// an export to a slow client, is left alone until the log has doubled. mu is held.
func (db *DB) checkpoint(ctx context.Context) {
	if db.wal == "" {
		return
	}
	info, err := os.Stat(db.wal)
	if err != nil || info.Size() < max(db.walNext, walLimit) {
		return
	}
	var busy, frames, copied int64
	err = db.write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(RESTART)").Scan(&busy, &frames, &copied)
	// The file keeps its size until the next transaction begins it anew (journal_size_limit).
	if db.walNext = 0; err != nil || busy != 0 {
		db.walNext = 2 * info.Size()
	}
}
