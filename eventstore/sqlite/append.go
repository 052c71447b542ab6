package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"maps"
	"slices"

	"auditlog/eventstore"
	"auditlog/internal/mutant"
)

// errKnownKey ends a first try: a draft's key is in the store, so keys must be looked up.
var errKnownKey = errors.New("an idempotency key is known")

// Append stores a flush. Most flushes carry no key that is known, so the first try inserts without a look-up and lets
// the primary key of the idempotency table object; the second try looks every key up, in the same transaction.
func (s *Store) Append(ctx context.Context, f eventstore.Flush) ([]eventstore.Outcome, error) {
	if err := checkShard(f.Shard); err != nil {
		return nil, err
	}
	if f.ID == (eventstore.FlushID{}) {
		return nil, errors.New("a flush needs an id")
	}
	var outcomes []eventstore.Outcome
	err := s.withWriter(ctx, func(w *writer) (err error) {
		if err = w.load(); err != nil {
			return err
		}
		if seq, ok := w.recent[f.ID]; ok {
			outcomes, err = s.replay(w, seq, f)
			return err
		}
		defer w.plan.reset()
		if outcomes, err = s.try(w, f, false); errors.Is(err, errKnownKey) {
			w.plan.reset()
			outcomes, err = s.try(w, f, true)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// try is one transaction of a flush. Without lookup it fails with errKnownKey when a draft's key is in the store.
func (s *Store) try(w *writer, f eventstore.Flush, lookup bool) ([]eventstore.Outcome, error) {
	if err := w.load(); err != nil {
		return nil, err
	}
	at, err := w.clock(s.now())
	if err != nil {
		return nil, err
	}
	p := &w.plan
	p.at, p.shard = at, w.shard.Offset
	var outcomes []eventstore.Outcome
	err = w.inTx(func() error {
		if err := s.decide(w, f, lookup); err != nil {
			return err
		}
		outcomes = p.outcomes
		if mutant.On == mutant.Bigserial {
			s.given.Store(int64(p.shard))
		}
		if len(p.rows) == 0 && repeatable(outcomes) {
			return errNothing
		}
		return w.conn.Raw(func(any) error { return w.storePlan(f.ID) })
	})
	if errors.Is(err, errNothing) {
		return outcomes, nil
	}
	if err != nil {
		return nil, err
	}
	w.remember(f.ID)
	s.committed(w)
	return outcomes, nil
}

// errNothing ends a transaction that has nothing to store.
var errNothing = errors.New("nothing to store")

// repeatable tells outcomes that the same flush, sent again, gets from the keys alone: they need no flush row.
func repeatable(outcomes []eventstore.Outcome) bool {
	for i := range outcomes {
		if s := outcomes[i].Status; s != eventstore.Replayed && s != eventstore.KeyReused {
			return false
		}
	}
	return true
}

// decide fills the writer's plan.
func (s *Store) decide(w *writer, f eventstore.Flush, lookup bool) error {
	p, drafts := &w.plan, 0
	for i := range f.Units {
		u := &f.Units[i]
		drafts += len(u.Drafts)
		no, err := s.noForWrite(w, u.Tenant)
		if err != nil {
			return err
		}
		if no == 0 {
			continue
		}
		if p.heads[no], err = w.head(no); err != nil {
			return err
		}
		if err := w.lookTargets(no, u.Drafts); err != nil {
			return err
		}
		if lookup {
			if err := w.lookKeys(no, u.Drafts); err != nil {
				return err
			}
		}
	}
	p.outcomes = make([]eventstore.Outcome, 0, drafts)
	for i := range f.Units {
		p.unit(s.tenants.no(f.Units[i].Tenant), &f.Units[i])
	}
	return nil
}

// noForWrite is tenantNo with 0 for a tenant that does not exist, read within the transaction.
func (s *Store) noForWrite(w *writer, id eventstore.TenantID) (int64, error) {
	if no := s.tenants.no(id); no != 0 {
		return no, nil
	}
	var no int64
	err := w.conn.QueryRowContext(context.Background(), tenantNoSQL, id[:]).Scan(&no)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err == nil {
		s.tenants.put(id, no)
	}
	return no, err
}

// storePlan writes the planned rows: keys first, so that a known one costs little.
func (w *writer) storePlan(id eventstore.FlushID) error {
	if err := w.insertKeys(); err != nil {
		return err
	}
	if err := w.insertEvents(); err != nil {
		return err
	}
	return w.insertFlush(id)
}

func (w *writer) insertEvents() error {
	rows, at := w.plan.rows, any(int64(w.plan.at))
	var lastNo int64
	var no any // boxed once for the run of rows of one tenant
	err := w.in.insert(&w.in.events, len(rows), func(i int, v []driver.NamedValue) {
		r := &rows[i]
		d := r.draft
		if r.tenant != lastNo {
			lastNo, no = r.tenant, r.tenant
		}
		v[0].Value, v[1].Value, v[2].Value, v[3].Value = int64(r.offset), no, int64(r.position), at
		v[4].Value, v[5].Value, v[6].Value = d.ID[:], typeValue(d.Type), nil
		if !d.EntryID.IsZero() {
			v[6].Value = d.EntryID[:]
		}
		v[7].Value, v[8].Value = int64(d.Key.Epoch), int64(d.Key.Index)
		v[9].Value, v[10].Value = notNull(d.Public), orNull(d.Private)
	})
	if err != nil || !w.plan.hasTargets {
		return err
	}
	return w.insertAbouts()
}

func (w *writer) insertAbouts() error {
	about := w.plan.rows[:0:0]
	for _, r := range w.plan.rows {
		if isAbout(r.draft) {
			about = append(about, r)
		}
	}
	return w.in.insert(&w.in.abouts, len(about), func(i int, v []driver.NamedValue) {
		r, erasure := &about[i], int64(0)
		if r.draft.Type == eventstore.EntryErased {
			erasure = 1
		}
		v[0].Value, v[1].Value, v[2].Value, v[3].Value = r.tenant, r.draft.EntryID[:], int64(r.position), erasure
	})
}

// insertKeys adds the keys of the stored drafts in the order of the table, where they meet in fewer pages.
func (w *writer) insertKeys() error {
	keyed := w.keyed[:0]
	if mutant.On == mutant.NoDedup {
		return nil
	}
	for i := range w.plan.rows {
		if w.plan.rows[i].draft.Idempotency != nil {
			keyed = append(keyed, &w.plan.rows[i])
		}
	}
	slices.SortFunc(keyed, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), bytes.Compare(a.draft.Idempotency.Token[:], b.draft.Idempotency.Token[:]))
	})
	err := w.in.insert(&w.in.keys, len(keyed), func(i int, v []driver.NamedValue) {
		r := keyed[i]
		k := r.draft.Idempotency
		v[0].Value, v[1].Value, v[2].Value, v[3].Value = r.tenant, k.Token[:], k.Fingerprint[:], int64(r.position)
	})
	clear(keyed)
	w.keyed = keyed[:0]
	if isDuplicate(err) {
		return errKnownKey
	}
	return err
}

func (w *writer) insertFlush(id eventstore.FlushID) error {
	w.seq++
	if err := w.in.one(w.in.flush, w.seq, id[:], statuses(w.plan.outcomes)); err != nil {
		return err
	}
	if w.seq%pruneEvery != 0 {
		return nil
	}
	return w.in.one(w.in.prune, w.seq-keepFlushes)
}

// statuses is the flush row's form of outcomes; nil when every draft was stored.
func statuses(outcomes []eventstore.Outcome) any {
	if !slices.ContainsFunc(outcomes, func(o eventstore.Outcome) bool { return o.Status != eventstore.Stored }) {
		return nil
	}
	b := make([]byte, len(outcomes))
	for i := range outcomes {
		b[i] = byte(outcomes[i].Status)
	}
	return b
}

// committed makes the writer's memory follow a commit and wakes who waits for it.
func (s *Store) committed(w *writer) {
	p := &w.plan
	w.failed = false
	if len(p.rows) > 0 {
		w.shard = eventstore.ShardHead{Offset: p.shard, RecordedAt: p.at}
		maps.Copy(w.heads, p.heads)
	}
	s.wake.all()
	written := flushOverhead
	for i := range p.rows {
		written += len(p.rows[i].draft.Public) + len(p.rows[i].draft.Private) + rowOverhead
	}
	s.keeper.wrote(written)
}

// remember keeps the id of the flush that was committed last, and lets go of those whose rows were pruned.
func (w *writer) remember(id eventstore.FlushID) {
	w.recent[id] = w.seq
	if w.seq%pruneEvery == 0 {
		maps.DeleteFunc(w.recent, func(_ eventstore.FlushID, seq int64) bool { return seq <= w.seq-keepFlushes })
	}
}
