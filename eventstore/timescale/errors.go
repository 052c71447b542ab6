package timescale

import (
	"errors"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/pgdb"
)

var (
	errClosed      = fault.New(fault.Unavailable, "the event store is closed")
	errReadOnly    = fault.New(fault.Unavailable, "the database takes no writes now")
	errNoTenant    = fault.New(fault.NotFound, "there is no such tenant")
	errNoEvent     = fault.New(fault.NotFound, "there is no such event")
	errPurged      = fault.New(fault.Purged, "the event was removed by retention")
	errNoShard     = errors.New("there is no such shard")
	errOtherDrafts = errors.New("the flush id was used for other drafts")
	errKnownID     = errors.New("an event of the flush is in the store already")
)

func translate(doing string, err error) error { return pgdb.Translate(doing, err) }

// clockFault is the refusal of an append while the newest event is lead ahead of the clock.
func clockFault(lead time.Duration) error {
	e := fault.New(fault.Clock, "the newest event is ahead of the database's clock; appends wait until the clock has caught up")
	e.RetryAfter = max(lead-eventstore.MaxClockLead, time.Second).Round(time.Second)
	return e
}
