package search

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/internal/sqlitedb"
	"auditlog/projection"
	"auditlog/projection/generation"
)

// Store is what the index reads of the event store: whole entries when one changed, and shards for a rebuild.
type Store interface {
	Shards() int
	ShardHead(ctx context.Context, shard eventstore.Shard) (eventstore.ShardHead, error)
	ReadShard(ctx context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error)
	Get(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error)
	About(ctx context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error)
	Purges(ctx context.Context, tenant eventstore.TenantID) ([]eventstore.Purge, error)
}

// Opener opens private parts; entry.Opener is one.
type Opener interface {
	Open(ctx context.Context, ev eventstore.Event) (entry.Opened, error)
}

// Config of an index. All fields are required.
type Config struct {
	Dir    string // folder of the index files, which exists
	Store  Store
	Opener Opener
	Log    *slog.Logger
}

// Index implements projection.Projector and query.Index. It is safe for concurrent use.
type Index struct {
	cfg   Config
	files *generation.Set[*file]

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when Visible moves
}

// Open opens the index of a folder, or makes an empty one.
func Open(ctx context.Context, cfg Config) (*Index, error) {
	x := &Index{cfg: cfg, changed: make(chan struct{})}
	files, err := generation.Open(ctx, cfg.Dir, "search", cfg.Log, x.openFile)
	if err != nil {
		return nil, err
	}
	x.files = files
	return x, nil
}

func (x *Index) openFile(ctx context.Context, path string) (*file, error) {
	return openFile(ctx, path, x.cfg.Store, x.cfg.Opener)
}

// Close closes the files, after calls under way have returned.
func (x *Index) Close() error { return x.files.Close() }

// Name is "search".
func (x *Index) Name() string { return "search" }

// Apply indexes what is not yet applied of the envelope. A *projection.Poison tells of an event whose bytes can never be
// read.
func (x *Index) Apply(ctx context.Context, env projection.Envelope) error {
	var moved bool
	err := x.use(ctx, func(f *file) (err error) {
		moved, err = f.apply(ctx, env)
		return err
	})
	if moved {
		x.wake()
	}
	return err
}

// Progress is the set of applied ranges of a shard.
func (x *Index) Progress(ctx context.Context, shard eventstore.Shard) (r projection.Ranges, err error) {
	err = x.use(ctx, func(f *file) error {
		r, err = f.progress(ctx, shard)
		return err
	})
	return r, err
}

// Visible is the offset up to which every event of the shard can be found.
func (x *Index) Visible(ctx context.Context, shard eventstore.Shard) (eventstore.Offset, error) {
	r, err := x.Progress(ctx, shard)
	return r.Cursor(), err
}

// Changed is closed at the next move of Visible.
func (x *Index) Changed() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.changed
}

func (x *Index) wake() {
	x.mu.Lock()
	defer x.mu.Unlock()
	close(x.changed)
	x.changed = make(chan struct{})
}

// use calls f with the live file. Damage that shows makes an empty file take its place; the caller gets the error, and
// the sweeper finds all to do again.
func (x *Index) use(ctx context.Context, f func(*file) error) error {
	var used *file
	err := x.files.Use(func(live *file) error {
		used = live
		return sqlitedb.Classify(f(live))
	})
	if !errors.Is(err, sqlitedb.ErrCorrupt) {
		return err
	}
	reset := x.files.Reset(context.WithoutCancel(ctx), func(live *file) bool { return live == used }, err)
	x.wake()
	return errors.Join(err, reset)
}
