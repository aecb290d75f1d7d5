package ledger

// PageFilter says which entries of the audit trail to list.
type PageFilter struct {
	Tenant, Team string // "": any
	Action       string // or what it begins with, and then *; "": any
	Before       *Entry // only entries that stand before this one, by its Time, Writer and Number; nil: from the newest on
	Limit        int
}
