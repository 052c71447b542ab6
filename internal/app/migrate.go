package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"

	"auditlog/eventstore/timescale"
	limitpg "auditlog/internal/limit/postgres"
	keypg "auditlog/keyring/postgres"
	"auditlog/projection/readmodel"
	relaypg "auditlog/projection/relay/postgres"
	"auditlog/projection/search/opensearch/pgstate"
)

// Owners are the addresses as whom Migrate works.
type Owners struct {
	Store       Secret // AUDITLOG_OWNER: the event store's database as the role that is to own its tables
	Projections Secret // AUDITLOG_PROJECTIONS_OWNER: likewise; default: that of Store where both lie in one database
	Layout      timescale.Layout
}

const (
	setOwner            = "AUDITLOG_OWNER (--owner)"
	setProjectionsOwner = "AUDITLOG_PROJECTIONS_OWNER (--projections-owner)"
)

// Migrate makes or brings up to date everything on PostgreSQL that the configuration names, and gives the roles in its
// addresses what they need. It is safe to repeat, also beside running processes of the same version. said is told what
// was done, a line each.
func Migrate(ctx context.Context, cfg Parts, o Owners, said func(string)) error {
	if err := cfg.Migratable(o); err != nil {
		return err
	}
	cfg, o = cfg.withOwners(o)
	if cfg.keysInDatabase() {
		if err := keypg.Migrate(ctx, string(cfg.Keys)); err != nil {
			return named(setKeys, err)
		}
		said("keys: up to date")
	}
	if cfg.embeddedStore() {
		return nil
	}
	service, servicePassword := roleOf(cfg.Store)
	lifecycle, lifecyclePassword := roleOf(cfg.Lifecycle)
	o.Layout.Service, o.Layout.ServicePassword = service, servicePassword // a role that is missing is made with it
	o.Layout.Lifecycle, o.Layout.LifecyclePassword = lifecycle, lifecyclePassword
	tier, err := timescale.Migrate(ctx, string(o.Store), o.Layout)
	if err != nil {
		return named(setOwner, err)
	}
	said(fmt.Sprintf("event store: up to date, tier %s, roles %s and %s", tier, service, lifecycle))
	owner := string(o.Projections)
	role, _ := roleOf(cfg.Projections)
	for _, part := range []struct {
		name    string
		prepare func(ctx context.Context, owner, service string) error
	}{
		{"projections", func(ctx context.Context, owner, service string) error {
			return readmodel.Prepare(ctx, owner, service, readmodel.DatabaseOptions{})
		}},
		{"relay", relaypg.Prepare},
		{"search state", pgstate.Prepare},
		{"rate limits", limitpg.Prepare},
	} {
		if err := part.prepare(ctx, owner, role); err != nil {
			return named(setProjectionsOwner, fmt.Errorf("%s: %w", part.name, err))
		}
		said(part.name + ": up to date, role " + role)
	}
	return nil
}

// Migratable names every setting that keeps Migrate from working, all at once.
func (p Parts) Migratable(o Owners) error {
	p, o = p.withOwners(o)
	var all []error
	complain := func(setting, format string, args ...any) { all = append(all, fmt.Errorf(setting+": "+format, args...)) }
	p.complainAboutDatabases(complain)
	if p.embeddedStore() && !p.keysInDatabase() {
		complain(setStore, "nothing to migrate: files of the data dir are brought up to date by whoever opens them")
	}
	if !p.embeddedStore() {
		for setting, address := range map[string]Secret{setOwner: o.Store, setProjectionsOwner: o.Projections} {
			if !isPostgres(string(address)) {
				complain(setting, "must be an address like postgres://owner:password@host:5432/database")
			}
		}
		for setting, address := range map[string]Secret{setStore: p.Store, setLifecycle: p.Lifecycle, setProjections: p.Projections} {
			if role, _ := roleOf(address); isPostgres(string(address)) && role == "" {
				complain(setting, "must name its role: postgres://role@…")
			}
		}
	}
	return errors.Join(all...)
}

// withOwners fills in what follows from the rest.
func (p Parts) withOwners(o Owners) (Parts, Owners) {
	p = p.withDefaults("")
	if p.Projections == p.Store {
		o.Projections = cmp.Or(o.Projections, o.Store)
	}
	return p, o
}

// roleOf is the role that an address names, with its password; "" where it names none.
func roleOf(address Secret) (role, password string) {
	u, err := url.Parse(string(address))
	if err != nil {
		return "", ""
	}
	password, _ = u.User.Password()
	return u.User.Username(), password
}
