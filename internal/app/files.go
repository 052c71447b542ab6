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
	"auditlog/internal/entry"
	"auditlog/internal/sqlitedb"
	"auditlog/keyring"
	keyfile "auditlog/keyring/file"
	"auditlog/projection/find"
	"auditlog/projection/forget"
	"auditlog/projection/readmodel"
	"auditlog/projection/relay"
	"auditlog/projection/search"
	"auditlog/projection/stats"
)

// files are the parts that hold something open. Nil ones were not opened.
type files struct {
	dir    *dataDir
	ring   *keyring.Ring
	store  *sqlite.Store
	find   *find.Projection
	forget *forget.Projection
	search *search.Index
	stats  *stats.Projection
	relay  *relay.DB
}

// openFiles opens everything in the data dir, which it locks. The projections are opened side by side: each brings a
// schema up to date, and start is to be quick.
func openFiles(ctx context.Context, cfg Config, log *slog.Logger) (_ *files, err error) {
	f := &files{}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if f.dir, err = openDataDir(ctx, cfg.DataDir); err != nil {
		return nil, err
	}
	driver, err := keyfile.Open(cfg.Keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setKeys, err)
	}
	f.ring = keyring.New(driver, keyring.Options{})
	var g errgroup.Group
	g.Go(func() error { return f.openStore(ctx) })
	g.Go(func() error { return f.openRelay(ctx, log) })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := f.openProjections(ctx, log); err != nil {
		return nil, fmt.Errorf("%s: %w", setDataDir, err)
	}
	return f, nil
}

func (f *files) openStore(ctx context.Context) (err error) {
	path := f.dir.file("events.db")
	f.store, err = sqlite.Open(ctx, path, sqlite.Options{})
	switch {
	case errors.Is(err, sqlitedb.ErrCorrupt):
		return fmt.Errorf("%s: the event store %s is damaged; put a backup in its place: %w", setDataDir, path, err)
	case err != nil:
		return fmt.Errorf("%s: %w", setDataDir, err)
	}
	return nil
}

// openRelay opens the relay's file; a damaged one is made anew, since old or lost cursors only make it send again.
func (f *files) openRelay(ctx context.Context, log *slog.Logger) (err error) {
	path := f.dir.file("relay.db")
	f.relay, err = relay.Open(ctx, path)
	if errors.Is(err, sqlitedb.ErrCorrupt) {
		log.WarnContext(ctx, "the relay's file is damaged; it is made anew, and the list of parked events in it is lost", "file", path, "error", err)
		if err = removeDatabase(path); err == nil {
			f.relay, err = relay.Open(ctx, path)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", setDataDir, err)
	}
	return nil
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

func (f *files) opener() entry.Opener { return entry.Opener{Ring: f.ring} }

func (f *files) openProjections(ctx context.Context, log *slog.Logger) error {
	var g errgroup.Group
	deps := readmodel.Deps{Store: f.store, Opener: f.opener()}
	g.Go(func() (err error) {
		f.search, err = search.Open(ctx, search.Config{Dir: f.dir.path, Store: f.store, Opener: f.opener(), Log: log})
		return err
	})
	g.Go(func() (err error) {
		f.forget, err = forget.Open(ctx, readmodel.Folder(f.dir.path), f.store, f.ring, log)
		return err
	})
	g.Go(func() (err error) {
		if f.find, err = find.Open(ctx, readmodel.Folder(f.dir.path), deps, log); err != nil {
			return err
		}
		names := stats.StoreNames{Find: f.find, Store: f.store, Opener: f.opener()}
		f.stats, err = stats.Open(ctx, readmodel.Folder(f.dir.path), deps, names, log)
		return err
	})
	return g.Wait()
}

// close closes what is open, readers before what they read.
func (f *files) close() error {
	var all []error
	if f.stats != nil {
		all = append(all, f.stats.Close())
	}
	if f.find != nil {
		all = append(all, f.find.Close())
	}
	if f.forget != nil {
		all = append(all, f.forget.Close())
	}
	if f.search != nil {
		all = append(all, f.search.Close())
	}
	if f.relay != nil {
		all = append(all, f.relay.Close())
	}
	if f.store != nil {
		all = append(all, f.store.Close())
	}
	if f.ring != nil {
		all = append(all, f.ring.Close())
	}
	if f.dir != nil {
		all = append(all, f.dir.close())
	}
	return errors.Join(all...)
}
