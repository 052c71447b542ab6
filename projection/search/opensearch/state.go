package opensearch

import (
	"context"
	"errors"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
)

// Generation is one whole making of the index.
type Generation struct {
	N         int               // from 1
	ShutUntil eventstore.Micros // > 0: another takes its place and it takes no ranges; past this time the other is given up for dead
}

// ErrClosed says that a generation takes no ranges: it was replaced, or is being replaced right now.
var ErrClosed = errors.New("this generation of the index is being replaced")

// Removals are what was taken out of a generation, or is being taken out.
type Removals struct {
	Purged   map[eventstore.TenantID]eventstore.Position // watermarks above 0 of the tenants that were asked for
	Retiring map[string]bool                             // indices that may go any moment
	Dropped  map[string]bool                             // indices whose names are spent
}

// State is the small durable account beside the server: what each generation holds. It is shared by all processes of one
// index. Every method is one transaction, safe for concurrent use, and durable against a crash of the process on return.
// Package statetest is its suite.
type State interface {
	// Live is the generation that is searched and written: 1 in a fresh state.
	Live(ctx context.Context) (Generation, error)

	// Ranges are the applied ranges of a shard in a generation, Add adds one, after its effect: ErrClosed when the
	// generation is neither live and open nor the one that is being built.
	Ranges(ctx context.Context, gen int, shard eventstore.Shard) (projection.Ranges, error)
	Add(ctx context.Context, gen int, shard eventstore.Shard, r projection.Range) error

	// Cursors are the cursors of the applied ranges of all shards, of those where it is above 0.
	Cursors(ctx context.Context, gen int) (map[eventstore.Shard]eventstore.Offset, error)

	// Visible is the mark per shard up to which everything is found; SetVisible raises marks and never lowers one.
	Visible(ctx context.Context, gen int) (map[eventstore.Shard]eventstore.Offset, error)
	SetVisible(ctx context.Context, gen int, marks map[eventstore.Shard]eventstore.Offset) error

	// RefreshTurn begins a refresh: 0 tells one of the callers, of whatever process, to go ahead, and then no other until
	// every is over; all others get the time that is left of it, at most every.
	RefreshTurn(ctx context.Context, every time.Duration) (left time.Duration, err error)

	// Purge raises the position up to which a tenant's documents are gone from a generation, and never lowers it.
	// Removals are these watermarks, and the indices that were taken out: what a writer looks at, in one step, once its
	// documents are acknowledged.
	Purge(ctx context.Context, gen int, tenant eventstore.TenantID, last eventstore.Position) error
	Removals(ctx context.Context, gen int, tenants []eventstore.TenantID) (Removals, error)

	// Place keeps the group in which a generation holds a tenant's documents: the one it was given first.
	Place(ctx context.Context, gen int, tenant eventstore.TenantID, group string) (kept string, err error)

	// Indices are those that a generation has; AddIndex adds one that was made: ErrClosed when that name was dropped.
	Indices(ctx context.Context, gen int) ([]string, error)
	AddIndex(ctx context.Context, gen int, name string) error

	// Retire begins to take an index out, so that writers hold back, and gives a token above 0 that makes earlier ones void;
	// 0 when Indices has no such index. Unretire takes that back. DropIndex makes it final: Indices and Scrubs have the
	// index no more, and its name is never used again in the generation. With a void token Unretire does nothing, and
	// DropIndex tells false.
	Retire(ctx context.Context, gen int, index string) (token int64, err error)
	Unretire(ctx context.Context, gen int, index string, token int64) error
	DropIndex(ctx context.Context, gen int, index string, token int64) (dropped bool, err error)

	// Scrub asks for removed words to leave the files of an index; Scrubs lists what was asked for with a token each, and
	// Scrubbed takes one off unless it was asked for again since.
	Scrub(ctx context.Context, gen int, index string) error
	Scrubs(ctx context.Context, gen int) (map[string]int64, error)
	Scrubbed(ctx context.Context, gen int, index string, token int64) error

	// Build begins the generation after the live one, forgetting an unfinished one, whose number is not used again.
	// Shut stops the live generation from taking ranges; Reopen takes that back. Promote makes the one that was built live and forgets all
	// others; it does nothing when it is live already.
	Build(ctx context.Context) (gen int, err error)
	Shut(ctx context.Context, gen int, until eventstore.Micros) error
	Reopen(ctx context.Context, gen int) error
	Promote(ctx context.Context, gen int) error
}
