package app

import (
	"context"
	"errors"

	"auditlog/eventstore/timescale"
	"auditlog/keyring"
	keypg "auditlog/keyring/postgres"
	"auditlog/projection/readmodel"
	relaypg "auditlog/projection/relay/postgres"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/pgstate"
	"auditlog/projection/search/opensearch/sqlitestate"
)

// openDatabases opens the event store and the relay's state on PostgreSQL, and tells where the read models live.
func (p *parts) openDatabases(ctx context.Context, cfg Config) (readmodel.Home, error) {
	store, err := timescale.Open(ctx, timescale.Config{Address: string(cfg.Parts.Store)})
	if err := p.opened(store, named(setStore, err)); err != nil {
		return nil, err
	}
	life, err := timescale.OpenLifecycle(ctx, timescale.Config{Address: string(cfg.Parts.Lifecycle)})
	if err := p.opened(life, named(setLifecycle, err)); err != nil {
		return nil, err
	}
	db, err := relaypg.Open(ctx, string(cfg.Parts.Projections), relaypg.Options{})
	if err := p.opened(db, named(setProjections, err)); err != nil {
		return nil, err
	}
	p.store, p.lifecycle, p.relay, p.lease, p.alone = store, life, db, db, life.Alone
	return readmodel.Database(string(cfg.Parts.Projections), readmodel.DatabaseOptions{}), nil
}

func (p *parts) openKeyDatabase(ctx context.Context, cfg Parts) error {
	wrapper, err := keyring.WrapBySecret([]byte(cfg.KeySecret))
	if err != nil {
		return named(setKeySecret, err)
	}
	driver, err := keypg.Open(ctx, string(cfg.Keys), wrapper)
	switch {
	case errors.Is(err, keypg.ErrOtherWrapper):
		return named(setKeySecret, err)
	case err != nil:
		return named(setKeys, err)
	}
	p.keys = driver.Ping
	p.ring = keyring.New(driver, keyring.Options{})
	return p.opened(p.ring, nil)
}

// openSearchState opens the account of what an index on OpenSearch holds, beside the other projections.
func (p *parts) openSearchState(ctx context.Context, cfg Parts) (opensearch.State, error) {
	if cfg.embeddedStore() {
		s, err := sqlitestate.Open(ctx, p.dir.file("opensearch.db"))
		return s, p.opened(s, named(setDataDir, err))
	}
	s, err := pgstate.Open(ctx, string(cfg.Projections))
	return s, p.opened(s, named(setProjections, err))
}
