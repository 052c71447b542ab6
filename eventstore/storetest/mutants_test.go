package storetest_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// mutants are broken stores, by the promise that they break.
var mutants = []mutant{
	{promise: "AppendIsAtomic", lie: "units are never atomic", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		return h.Append(ctx, changed(f, func(u *eventstore.Unit, _ *eventstore.Draft) { u.Atomic = false }))
	})},
	{promise: "AppendIsAtomic", lie: "a refused unit takes its flush with it", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		return h.Append(ctx, changed(f, func(u *eventstore.Unit, _ *eventstore.Draft) { u.Atomic = true }))
	})},
	{promise: "AppendIsAtomic", lie: "the last draft of a unit is answered but not stored", wrap: appends(dropLast)},
	{promise: "AppendIsAtomic", lie: "an ended context is not seen", wrap: appends(func(h honest, _ context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		return h.Append(context.Background(), f)
	})},

	{promise: "AppendIsDurable", lie: "a new file after a crash", wrap: plain, reopen: func(tb testing.TB, _ *honest) string {
		return filepath.Join(tb.TempDir(), "events.db")
	}},
	{promise: "AppendIsDurable", lie: "an old copy after a crash", wrap: plain, reopen: func(tb testing.TB, h *honest) string {
		old := filepath.Join(tb.TempDir(), "old.db")
		if err := copyWithoutLog(h.path, old); err != nil {
			tb.Fatal(err)
		}
		return old
	}},

	{promise: "PositionsAreDense", lie: "positions are one less at times", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		out, err := h.Append(ctx, f)
		for i := range out {
			if out[i].Position%50 == 0 {
				out[i].Position--
			}
		}
		return out, err
	})},
	{promise: "PositionsAreDense", lie: "the two orders differ", wrap: reads(func(_ honest, page []eventstore.Event) []eventstore.Event {
		if n := len(page); n > 2 {
			page[n-2], page[n-3] = page[n-3], page[n-2]
		}
		return page
	})},
	{promise: "PositionsAreDense", lie: "an event is given twice", wrap: reads(func(_ honest, page []eventstore.Event) []eventstore.Event {
		if len(page) > 50 {
			page = append(page[:50], page[49:]...)
		}
		return page
	})},

	{promise: "ReadersMissNothing", lie: "late commits fall behind readers", wrap: lateCommits},
	{promise: "ReadersMissNothing", lie: "appends wake nobody", wrap: func(h honest) eventstore.Store { return &sleeper{honest: h} }},
	{promise: "ReadersMissNothing", lie: "a cursor is translated one too high", wrap: func(h honest) eventstore.Store { return &offByOne{honest: h} }},

	{promise: "KeysReplay", lie: "keys are not looked at", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		return h.Append(ctx, changed(f, func(_ *eventstore.Unit, d *eventstore.Draft) { d.Idempotency = nil }))
	})},
	{promise: "KeysReplay", lie: "every body is the same", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		return h.Append(ctx, changed(f, func(_ *eventstore.Unit, d *eventstore.Draft) {
			if d.Idempotency != nil {
				d.Idempotency = &eventstore.Idempotency{Token: d.Idempotency.Token}
			}
		}))
	})},
	{promise: "KeysReplay", lie: "a replay is answered with the second id", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		out, err := h.Append(ctx, f)
		if len(out) > 0 && out[0].Status == eventstore.Replayed {
			out[0].ID = f.Units[0].Drafts[0].ID
		}
		return out, err
	})},

	{promise: "FlushesReplay", lie: "every flush is new", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		f = changed(f, func(_ *eventstore.Unit, d *eventstore.Draft) { d.ID = eventstore.NewEventID() })
		f.ID = newFlushID()
		return h.Append(ctx, f)
	})},
	{promise: "FlushesReplay", lie: "only what was stored is remembered", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		if draftsOf(f) == 1 {
			f.ID = newFlushID()
		}
		return h.Append(ctx, f)
	})},

	{promise: "TenantsNeverMeet", lie: "an id is enough", wrap: gets(func(h honest, _ eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error) {
		return find(h, id)
	})},
	{promise: "TenantsNeverMeet", lie: "another tenant's event is forbidden", wrap: gets(func(h honest, t eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error) {
		e, err := find(h, id)
		if err == nil && e.Tenant != t {
			return eventstore.Event{}, fault.New(fault.Forbidden, "not yours")
		}
		return h.Get(context.Background(), t, id)
	})},
	{promise: "TenantsNeverMeet", lie: "an amendment finds any entry", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		out, err := h.Append(ctx, f)
		if len(out) > 0 && out[0].Status == eventstore.TargetMissing {
			if _, err := find(h, f.Units[0].Drafts[0].EntryID); err == nil {
				out[0].Status = eventstore.TargetErased
			}
		}
		return out, err
	})},

	{promise: "TimeNeverStepsBack", lie: "the clock is believed", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		out, err := h.Append(ctx, f)
		for i := range out {
			out[i].RecordedAt = eventstore.MicrosOf(h.now())
		}
		return out, err
	})},
	{promise: "TimeNeverStepsBack", lie: "old times are read", wrap: reads(func(_ honest, page []eventstore.Event) []eventstore.Event {
		for i := range page {
			if page[i].Position%3 == 0 {
				page[i].RecordedAt -= 10e6
			}
		}
		return page
	})},

	{promise: "AppendOnly", lie: "a reader gets the store's own memory", wrap: sharedMemory},
	{promise: "AppendOnly", lie: "an amendment rewrites its entry", wrap: rewritten},

	{promise: "PurgedIsHidden", lie: "a hidden event is still found by id", wrap: gets(func(h honest, t eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error) {
		e, err := h.Get(context.Background(), t, id)
		if fault.Is(err, fault.Purged) {
			return find(h, id)
		}
		return e, err
	})},
	{promise: "PurgedIsHidden", lie: "a removed event was never there", wrap: gets(func(h honest, t eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error) {
		e, err := h.Get(context.Background(), t, id)
		if fault.Is(err, fault.Purged) {
			err = errMissing
		}
		return e, err
	})},
	{promise: "PurgedIsHidden", lie: "a leaf is forgotten", wrap: func(h honest) eventstore.Store { return &forgetter{honest: h} }},

	{promise: "AboutIsExact", lie: "the newest is left out", wrap: reads(func(_ honest, page []eventstore.Event) []eventstore.Event {
		if n := len(page); n > 0 && page[n-1].Type == eventstore.EntryErased {
			return page[:n-1]
		}
		return page
	})},
	{promise: "AboutIsExact", lie: "conditions are not decided at commit", wrap: appends(func(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
		out, err := h.Append(ctx, f)
		for i := range out {
			if out[i].Status == eventstore.TargetErased {
				out[i].Status = eventstore.Stored
			}
		}
		return out, err
	})},
}

func plain(h honest) eventstore.Store { return &h }

// dropLast answers for every draft but keeps the last of a large unit for itself.
func dropLast(h honest, ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	if len(f.Units) != 1 || len(f.Units[0].Drafts) < 100 {
		return h.Append(ctx, f)
	}
	u := f.Units[0]
	u.Drafts = u.Drafts[:len(u.Drafts)-1]
	f.Units = []eventstore.Unit{u}
	out, err := h.Append(ctx, f)
	if err != nil {
		return nil, err
	}
	last := out[len(out)-1]
	last.Position++
	return append(out, last), nil
}

// lateCommits hides the newest event of a page once: as when a sequence number is seen before an older one commits.
func lateCommits(h honest) eventstore.Store {
	var mu sync.Mutex
	seen := map[eventstore.EventID]bool{}
	return &liar{honest: h, page: func(_ honest, page []eventstore.Event) []eventstore.Event {
		mu.Lock()
		defer mu.Unlock()
		for i := range page {
			if e := page[i]; e.Offset%29 == 0 && i < len(page)-1 && !seen[e.ID] {
				seen[e.ID] = true
				return append(page[:i:i], page[i+1:]...)
			}
		}
		return page
	}}
}

// sharedMemory gives every reader of an event the same bytes.
func sharedMemory(h honest) eventstore.Store {
	var mu sync.Mutex
	kept := map[eventstore.EventID]eventstore.Event{}
	return &liar{honest: h, page: func(_ honest, page []eventstore.Event) []eventstore.Event {
		mu.Lock()
		defer mu.Unlock()
		for i, e := range page {
			if old, ok := kept[e.ID]; ok {
				page[i] = old
			}
			kept[e.ID] = page[i]
		}
		return page
	}}
}

// rewritten shows an entry with the bytes of its newest amendment.
func rewritten(h honest) eventstore.Store {
	return &liar{honest: h, page: func(_ honest, page []eventstore.Event) []eventstore.Event {
		for i := range page {
			about, err := h.About(context.Background(), page[i].Tenant, []eventstore.EventID{page[i].ID})
			if err == nil && len(about) > 0 {
				page[i].Public = about[len(about)-1].Public
			}
		}
		return page
	}}
}

type sleeper struct{ honest }

func (*sleeper) Appended(eventstore.Shard) <-chan struct{} { return nil }

type offByOne struct{ honest }

func (o *offByOne) PositionAt(ctx context.Context, t eventstore.TenantID, at eventstore.Offset) (eventstore.Position, eventstore.Micros, error) {
	return o.honest.PositionAt(ctx, t, at+1)
}

type forgetter struct{ honest }

func (*forgetter) RemovedLeaf(context.Context, eventstore.TenantID, eventstore.EventID) (eventstore.Leaf, error) {
	return eventstore.Leaf{}, errMissing
}

// find looks for an event in all tenants.
func find(h honest, id eventstore.EventID) (eventstore.Event, error) {
	page, err := h.ReadShard(context.Background(), 0, 0, 10_000)
	for _, e := range page {
		if e.ID == id {
			return e, nil
		}
	}
	if err == nil {
		err = errMissing
	}
	return eventstore.Event{}, err
}

func draftsOf(f eventstore.Flush) (n int) {
	for _, u := range f.Units {
		n += len(u.Drafts)
	}
	return n
}

// copyWithoutLog copies the file but not its write-ahead log: what a store with lazy commits leaves after a power cut.
func copyWithoutLog(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}
