package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"golang.org/x/sync/errgroup"

	"auditlog/eventstore/sqlite"
	"auditlog/internal/sqlitedb"
	"auditlog/projection/readmodel"
	"auditlog/projection/relay"
)

// openFiles opens the event store and the relay's state in the data dir, and tells where the read models live.
func (p *parts) openFiles(ctx context.Context, log *slog.Logger) (readmodel.Home, error) {
	var g errgroup.Group
	g.Go(func() error { return p.openStoreFile(ctx) })
	g.Go(func() error { return p.openRelayFile(ctx, log) })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return readmodel.Folder(p.dir.path), nil
}

func (p *parts) openStoreFile(ctx context.Context) error {
	path := p.dir.file("events.db")
	store, err := sqlite.Open(ctx, path, sqlite.Options{})
	switch {
	case errors.Is(err, sqlitedb.ErrCorrupt):
		return fmt.Errorf("%s: the event store %s is damaged; put a backup in its place: %w", setDataDir, path, err)
	case err != nil:
		return named(setDataDir, err)
	}
	p.store, p.lifecycle = store, store
	p.alone = func(ctx context.Context, f func(context.Context) error) error { return f(ctx) } // the data dir is ours
	return p.opened(store, nil)
}

// openRelayFile opens the relay's file; a damaged one is made anew, since old or lost cursors only make it send again.
func (p *parts) openRelayFile(ctx context.Context, log *slog.Logger) error {
	path := p.dir.file("relay.db")
	db, err := relay.Open(ctx, path)
	if errors.Is(err, sqlitedb.ErrCorrupt) {
		log.WarnContext(ctx, "the relay's file is damaged; it is made anew, and the list of parked events in it is lost", "file", path, "error", err)
		if err = removeDatabase(path); err == nil {
			db, err = relay.Open(ctx, path)
		}
	}
	p.relay, p.lease = db, relay.Sole{}
	return p.opened(db, named(setDataDir, err))
}

func removeDatabase(path string) error {
	var all []error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}
