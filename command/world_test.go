package command_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
	"auditlog/internal/entry"
	"auditlog/keyring"
	"auditlog/keyring/file"
)

// clock is a clock that tests move.
type clock struct{ micros atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *clock) set(t time.Time)         { c.micros.Store(t.UnixMicro()) }
func (c *clock) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

// world is the write side on a real store and keyring.
type world struct {
	keys   string // the keyring's folder
	tb     testing.TB
	clock  *clock
	store  *sqlite.Store
	ring   *keyring.Ring
	opener entry.Opener
	*command.Commands
	waiting func() int // entries, on the tenant's lane
	tenant  eventstore.Tenant
	writer  command.Caller
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	return newWorldOver(tb, func(log command.Log) command.Log { return log }, command.AppenderOptions{})
}

// newWorldOver puts something between appender and store.
func newWorldOver(tb testing.TB, between func(command.Log) command.Log, o command.AppenderOptions) *world {
	tb.Helper()
	ctx, dir := context.Background(), tb.TempDir()
	w := &world{tb: tb, clock: &clock{}, keys: filepath.Join(dir, "keys")}
	w.clock.set(noon)
	driver, err := file.Open(w.keys)
	if err != nil {
		tb.Fatal(err)
	}
	w.ring = keyring.New(driver, keyring.Options{})
	if w.store, err = sqlite.Open(ctx, filepath.Join(dir, "events.db"), sqlite.Options{Now: w.clock.now}); err != nil {
		tb.Fatal(err)
	}
	w.opener = entry.Opener{Ring: w.ring}
	appender := command.NewAppender(between(w.store), w.store.Shards(), o)
	w.waiting = func() int { n, _ := appender.Waiting(w.tenant.Shard); return n }
	w.Commands = command.New(w.store, w.store, w.ring, appender, command.Options{Now: w.clock.now})
	tb.Cleanup(func() {
		if err := appender.Close(ctx); err != nil {
			tb.Error(err)
		}
		if err := w.store.Close(); err != nil {
			tb.Error(err)
		}
		if err := w.ring.Close(); err != nil {
			tb.Error(err)
		}
	})
	w.tenant = w.newTenant("demo")
	w.writer = command.Caller{Tenant: w.tenant.ID, Sub: "svc-writer", Roles: []string{"writer"}}
	return w
}

// keyFolders counts what lies in the keyring's folder: the master key and a folder for each tenant.
func (w *world) keyFolders() int {
	w.tb.Helper()
	entries, err := os.ReadDir(w.keys)
	if err != nil {
		w.tb.Fatal(err)
	}
	return len(entries)
}

func (w *world) newTenant(slug string) eventstore.Tenant {
	w.tb.Helper()
	t, err := w.CreateTenant(context.Background(), command.Caller{Sub: "root", Roles: []string{"admin"}},
		command.NewTenant{Slug: slug, Name: "Name of " + slug, RetentionDays: 396})
	if err != nil {
		w.tb.Fatal(err)
	}
	return t
}

func (w *world) record(e *command.Entry) command.Receipt {
	w.tb.Helper()
	r, err := w.Record(context.Background(), w.writer, e)
	if err != nil {
		w.tb.Fatal(err)
	}
	return r
}

// log is the tenant's whole log, opened.
func (w *world) log(tenant eventstore.TenantID) []entry.Opened {
	w.tb.Helper()
	var out []entry.Opened
	for after := eventstore.Position(0); ; {
		page, err := w.store.ReadTenant(context.Background(), tenant, after, 500)
		if err != nil {
			w.tb.Fatal(err)
		}
		if len(page) == 0 {
			return out
		}
		for _, ev := range page {
			o, err := w.opener.Open(context.Background(), ev)
			if err != nil {
				w.tb.Fatal(err)
			}
			out, after = append(out, o), ev.Position
		}
	}
}

// stored is an entry as readers see it.
func (w *world) stored(id eventstore.EventID) entry.Entry {
	w.tb.Helper()
	ctx := context.Background()
	ev, err := w.store.Get(ctx, w.tenant.ID, id)
	if err != nil {
		w.tb.Fatal(err)
	}
	original, err := w.opener.Open(ctx, ev)
	if err != nil {
		w.tb.Fatal(err)
	}
	events, err := w.store.About(ctx, w.tenant.ID, []eventstore.EventID{id})
	if err != nil {
		w.tb.Fatal(err)
	}
	var about []entry.Opened
	for _, ev := range events {
		o, err := w.opener.Open(ctx, ev)
		if err != nil {
			w.tb.Fatal(err)
		}
		about = append(about, o)
	}
	return entry.Fold(original, about)
}
