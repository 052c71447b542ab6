// Package mutant names the seeded bugs: faults of the kind that the tests are there for, each written into the code at the
// place where it would be made. A build has none of them, or, with the tag mutant_NAME, exactly that one. On is a constant,
// so that the compiler leaves nothing of them in a build without a tag. Package test/mutants runs, for each, the test that
// must catch it.
package mutant

// The seeded bugs that concern writing.
const (
	AckBeforeCommit     = "ack_before_commit"     // an append is answered before its transaction is committed
	Bigserial           = "bigserial"             // a shard's head counts offsets of flushes that are still in flight
	NoDedup             = "no_dedup"              // idempotency keys are not kept
	RangeBeforeEffect   = "range_before_effect"   // a projection records a range before it makes its effect
	CursorBeforePublish = "cursor_before_publish" // the relay's cursor moves before the bus took the envelope
	FenceIgnored        = "fence_ignored"         // a relay goes on under an epoch that is over
	StaleSave           = "stale_save"            // a relay without the lease is told that its cursor moved
	WithdrawnStored     = "withdrawn_stored"      // a unit that was refused for waiting too long stays in its lane
	BulkSplit           = "bulk_split"            // a bulk goes as two units
	DoubtRefused        = "doubt_refused"         // a refusal of a retry is taken for one of the entry
)
