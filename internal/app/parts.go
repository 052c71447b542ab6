package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/keyring"
	keyfile "auditlog/keyring/file"
	"auditlog/projection"
	"auditlog/projection/find"
	"auditlog/projection/forget"
	"auditlog/projection/readmodel"
	"auditlog/projection/relay"
	"auditlog/projection/stats"
)

// parts are what a process holds open. Nil ones were not opened.
type parts struct {
	dir       *dataDir // nil when nothing lies in one
	ring      *keyring.Ring
	keys      func(ctx context.Context) error // tells whether the key database answers; nil: keys are in files
	store     eventstore.Store
	lifecycle eventstore.Lifecycle
	search    index
	stats     *stats.Projection
	find      *find.Projection
	forget    *forget.Projection
	relay     relayState
	lease     relay.Lease

	alone func(ctx context.Context, f func(context.Context) error) error // runs f while no other process of the service does

	mu      sync.Mutex
	closing []io.Closer // in the order of opening; guarded by mu
}

// relayState is what relay and runners keep: cursors, leases, parked ranges.
type relayState interface {
	relay.Cursors
	projection.Parking
}

// openParts opens everything that the configuration names. What fails leaves nothing open.
func openParts(ctx context.Context, cfg Config, log *slog.Logger) (_ *parts, err error) {
	p := &parts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if cfg.Parts.inDataDir() {
		if p.dir, err = openDataDir(ctx, cfg.DataDir); err != nil {
			return nil, err
		}
		_ = p.opened(p.dir, nil)
	}
	if err := p.openKeys(ctx, cfg.Parts); err != nil {
		return nil, err
	}
	var home readmodel.Home
	if cfg.Parts.embeddedStore() {
		home, err = p.openFiles(ctx, log)
	} else {
		home, err = p.openDatabases(ctx, cfg)
	}
	if err != nil {
		return nil, err
	}
	where := setDataDir
	if !cfg.Parts.embeddedStore() {
		where = setProjections
	}
	// Side by side: each brings a schema up to date, and start is to be quick.
	var g errgroup.Group
	g.Go(func() error { return p.openSearch(ctx, cfg, log) })
	g.Go(func() (err error) {
		p.forget, err = forget.Open(ctx, home, p.store, p.ring, log)
		return p.opened(p.forget, named(where, err))
	})
	g.Go(func() (err error) {
		deps := p.deps()
		p.find, err = find.Open(ctx, home, deps, log)
		if err := p.opened(p.find, named(where, err)); err != nil {
			return err
		}
		p.stats, err = stats.Open(ctx, home, deps, stats.StoreNames{Find: p.find, Store: p.store, Opener: p.opener()}, log)
		return p.opened(p.stats, named(where, err))
	})
	return p, g.Wait()
}

// opened notes what close has to close, unless it did not open; the last opened goes first.
func (p *parts) opened(c io.Closer, err error) error {
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = append(p.closing, c)
	return nil
}

func (p *parts) close() error {
	var all []error
	for i := len(p.closing) - 1; i >= 0; i-- {
		all = append(all, p.closing[i].Close())
	}
	p.closing = nil
	return errors.Join(all...)
}

func (p *parts) openKeys(ctx context.Context, cfg Parts) error {
	if cfg.keysInDatabase() {
		return p.openKeyDatabase(ctx, cfg)
	}
	driver, err := keyfile.Open(string(cfg.Keys))
	if err != nil {
		return named(setKeys, err)
	}
	p.ring = keyring.New(driver, keyring.Options{})
	return p.opened(p.ring, nil)
}

func (p *parts) deps() readmodel.Deps { return readmodel.Deps{Store: p.store, Opener: p.opener()} }

func (p *parts) opener() entry.Opener { return entry.Opener{Ring: p.ring} }

// projectors are those of the destinations.
func (p *parts) projectors(destinations []string) []projection.Projector {
	counted := readmodel.NewTogether("stats", p.deps(), p.stats, p.find)
	all := map[string]projection.Projector{"search": p.search, "stats": counted, "forget": p.forget}
	out := make([]projection.Projector, len(destinations))
	for i, name := range destinations {
		out[i] = all[name]
	}
	return out
}
