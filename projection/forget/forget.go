// Package forget makes erasures and purges final: it destroys the keys of what they cover.
//
// The projector "forget" follows entry.erased events: it punctures the keys of the entry and of all its amendments, and
// makes the ring drop what it cached. A range is recorded only after its punctures are durable in the keyring. The
// janitor carries out purges: keys first, then the rows, whose leaf hashes stay. Both are idempotent and finish after a
// crash at any step; neither touches what is not erased or lies above the watermark.
package forget

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/sqlitedb"
	"auditlog/keyring"
	"auditlog/projection"
	"auditlog/projection/readmodel"
	"auditlog/projection/sqlprogress"
)

// Store is what an erasure reads of the event store.
type Store interface {
	Get(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error)
	About(ctx context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error)
}

// Keys are what is destroyed (keyring.Ring). Puncture is durable on return and idempotent.
type Keys interface {
	Puncture(ctx context.Context, tenant [16]byte, refs []keyring.Ref) error
	Forget(tenant [16]byte)
}

// Projection is the projector "forget".
type Projection struct{ *readmodel.Live[*tables] }

// Open opens the projection in its home, which holds progress alone. A commit survives a crash of the process;
// what a power cut takes back is punctured again.
func Open(ctx context.Context, home readmodel.Home, store Store, keys Keys, log *slog.Logger) (*Projection, error) {
	live, err := readmodel.OpenLive(ctx, home, "forget", log, func(ctx context.Context, at readmodel.Place) (*tables, error) {
		db, err := at.Open(ctx, sqlitedb.Options{ReadConns: 1, CacheKiB: 256})
		if err != nil {
			return nil, err
		}
		return &tables{db: db, store: store, keys: keys}, nil
	})
	if err != nil {
		return nil, err
	}
	return &Projection{live}, nil
}

type tables struct {
	db    *readmodel.DB
	store Store
	keys  Keys
}

// Wants tells the events that Apply acts on (relay.Options.Wants).
func Wants(t eventstore.Type) bool { return t == eventstore.EntryErased }

// Apply punctures what the envelope's erasures cover, then records the range.
func (f *tables) Apply(ctx context.Context, env projection.Envelope) error {
	done, err := sqlprogress.Load(ctx, f.db.Write, env.Shard)
	if err != nil {
		return sqlitedb.Classify(err)
	}
	if done.Covers(projection.Range{From: env.From, To: env.To}) {
		return nil
	}
	return f.apply(ctx, env, done)
}

// Reapply implements projection.Reapplier.
func (f *tables) Reapply(ctx context.Context, env projection.Envelope) error {
	return f.apply(ctx, env, nil)
}

func (f *tables) apply(ctx context.Context, env projection.Envelope, done projection.Ranges) error {
	refs := map[eventstore.TenantID][]keyring.Ref{}
	for _, ev := range env.Events {
		if !Wants(ev.Type) || done.Has(ev.Offset) {
			continue
		}
		r, err := f.refs(ctx, ev)
		if err != nil {
			return err
		}
		refs[ev.Tenant] = append(refs[ev.Tenant], r...)
	}
	for tenant, r := range refs {
		if err := f.keys.Puncture(ctx, tenant, r); err != nil {
			return fmt.Errorf("destroy keys of erased entries: %w", err)
		}
		f.keys.Forget(tenant)
	}
	return f.record(ctx, env)
}

// refs are the keys that an erasure covers. The erasure is stored only while its entry is readable and nothing may be
// added after it, so what the store has about the entry is all there will ever be.
func (f *tables) refs(ctx context.Context, erasure eventstore.Event) ([]keyring.Ref, error) {
	target, err := f.store.Get(ctx, erasure.Tenant, erasure.EntryID)
	switch {
	case fault.Is(err, fault.Purged): // the janitor destroys them all
		return nil, nil
	case fault.Is(err, fault.NotFound):
		return nil, &projection.Poison{Err: fmt.Errorf("erasure %s names no entry: %w", erasure.ID, err)}
	case err != nil:
		return nil, fmt.Errorf("entry of erasure %s: %w", erasure.ID, err)
	}
	about, err := f.store.About(ctx, erasure.Tenant, []eventstore.EventID{erasure.EntryID})
	if err != nil {
		return nil, fmt.Errorf("amendments of erasure %s: %w", erasure.ID, err)
	}
	refs := []keyring.Ref{keyring.Ref(target.Key)}
	for _, a := range about {
		if a.Type == eventstore.EntryAmended {
			refs = append(refs, keyring.Ref(a.Key))
		}
	}
	return refs, nil
}

func (f *tables) record(ctx context.Context, env projection.Envelope) error {
	return sqlitedb.Classify(f.db.Tx(ctx, env.Shard, func(ctx context.Context, tx *sql.Tx) error {
		return sqlprogress.Add(ctx, tx, env.Shard, projection.Range{From: env.From, To: env.To})
	}))
}

func (f *tables) Progress(ctx context.Context, shard eventstore.Shard) (projection.Ranges, error) {
	done, err := sqlprogress.Load(ctx, f.db.Read, shard)
	return done, sqlitedb.Classify(err)
}

// Digest has nothing to say: the effect lies in the keyring.
func (f *tables) Digest(context.Context, io.Writer) error { return nil }

func (f *tables) Close() error { return f.db.Close() }
