package stats

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/projection/find"
	"auditlog/projection/readmodel"
	"auditlog/query"
)

// How many values an answer names; the rest of the groups is under Other.
const (
	topValues   = 10
	groupValues = 20
)

// Keys of groups that are no value.
const (
	Other  = "other"
	Erased = "erased"
)

const otherActor = -1

// Stats implements query.Rollups.
func (p *Projection) Stats(ctx context.Context, q query.StatsQuery) (out query.Stats, err error) {
	a := answer{q: q}
	switch q.Interval {
	case "minute":
		a.interval = minute
	case "hour":
		a.interval = hour
	case "day":
		a.interval = day
	default:
		return out, fault.At(fault.Invalid, "?interval", "interval is minute, hour or day")
	}
	if q.ActorID != "" {
		if a.token, err = p.ring.Token(ctx, q.Tenant, find.Actor, []byte(q.ActorID)); err != nil {
			return out, fmt.Errorf("token of actor: %w", err)
		}
	}
	err = p.Use(ctx, func(live *tables) error { return a.read(ctx, live) })
	if err != nil {
		return out, err
	}
	return a.compose(ctx, p.names)
}

// answer is what one query reads: all of one state of the tables.
type answer struct {
	q        query.StatsQuery
	interval int64
	token    [32]byte // of q.ActorID

	combos  map[int64]combo
	counts  []count           // by bucket and combination
	actors  []count           // the top actors, combination unset
	byActor []count           // by bucket and actor, all but the top actors as otherActor
	tokens  map[int64]tokenAt // of the top actors
}

type count struct {
	at           eventstore.Micros
	combo, actor int64
	n            int64
}

type tokenAt struct {
	token  [32]byte
	sample eventstore.Position
}

func (a *answer) read(ctx context.Context, f *tables) (err error) {
	tx, err := f.DB.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("stats: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	tenant, err := readmodel.LookUp(ctx, tx, a.q.Tenant)
	if err != nil || tenant == 0 {
		return err
	}
	if a.q.From >= a.q.To {
		return nil
	}
	bucket := fmt.Sprintf("at / %d * %[1]d", a.interval*int64(minuteLen))
	s := a.matching(tenant, byCombo, a.interval, "SELECT "+bucket+", combo, 0, CAST(SUM(n) AS bigint)")
	s.add(" GROUP BY 1, 2")
	if a.counts, err = counts(ctx, tx, s); err != nil {
		return err
	}
	s = a.matching(tenant, byActor, day, "SELECT 0, 0, actor, CAST(SUM(n) AS bigint)")
	s.add(" GROUP BY actor ORDER BY SUM(n) DESC, actor LIMIT ?", groupValues)
	if a.actors, err = counts(ctx, tx, s); err != nil {
		return err
	}
	if a.q.GroupBy == "actor_id" {
		if err := a.readByActor(ctx, tx, tenant, bucket); err != nil {
			return err
		}
	}
	return a.readNames(ctx, tx)
}

func (a *answer) readByActor(ctx context.Context, tx *sql.Tx, tenant int64, bucket string) (err error) {
	in := "(-1"
	for _, c := range a.actors {
		in += fmt.Sprintf(", %d", c.actor)
	}
	s := a.matching(tenant, byActor, a.interval, "SELECT "+bucket+", 0, CASE WHEN actor IN "+in+") THEN actor ELSE -1 END, CAST(SUM(n) AS bigint)")
	s.add(" GROUP BY 1, 3")
	a.byActor, err = counts(ctx, tx, s)
	return err
}

// matching is a statement over the counts that the filters let through, in units of at most largest. Where a filter is on
// what the rollups of the kind do not tell, the entries are counted.
func (a *answer) matching(tenant, kind, largest int64, columns string) *statement {
	ofCombo := len(a.q.Actions)+len(a.q.Severities)+len(a.q.Outcomes)+len(a.q.ResourceTypes) > 0
	if kind == byCombo && a.q.ActorID != "" || kind == byActor && ofCombo {
		largest = 0
	}
	s := within(tenant, kind, segments(a.q.From, a.q.To, largest, least(kind)))
	s.add(columns + " FROM r WHERE TRUE")
	if ofCombo {
		s.add(" AND combo IN (SELECT no FROM combos WHERE TRUE")
		s.oneOf("action", a.q.Actions)
		s.oneOf("severity", a.q.Severities)
		s.oneOf("outcome", a.q.Outcomes)
		s.oneOf("resource_type", a.q.ResourceTypes)
		s.add(")")
	}
	if a.q.ActorID != "" {
		s.add(" AND actor = (SELECT no FROM actors WHERE tenant = ? AND token = ?)", tenant, a.token[:])
	}
	return s
}

func counts(ctx context.Context, tx *sql.Tx, s *statement) (out []count, err error) {
	rows, err := tx.QueryContext(ctx, s.String(), s.args...)
	if err != nil {
		return nil, fmt.Errorf("stats: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c count
		if err := rows.Scan(&c.at, &c.combo, &c.actor, &c.n); err != nil {
			return nil, fmt.Errorf("stats: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// readNames reads the combinations and the tokens of the top actors.
func (a *answer) readNames(ctx context.Context, tx *sql.Tx) error {
	a.combos, a.tokens = map[int64]combo{}, map[int64]tokenAt{}
	for _, c := range a.counts {
		a.combos[c.combo] = combo{}
	}
	for no := range a.combos {
		var c combo
		err := tx.QueryRowContext(ctx, `SELECT action, severity, outcome, resource_type FROM combos WHERE no = ?`, no).
			Scan(&c.action, &c.severity, &c.outcome, &c.resourceType)
		if err != nil {
			return fmt.Errorf("stats: %w", err)
		}
		a.combos[no] = c
	}
	for _, c := range a.actors {
		if c.actor == 0 {
			continue
		}
		var t tokenAt
		var token []byte
		if err := tx.QueryRowContext(ctx, `SELECT token, sample FROM actors WHERE no = ?`, c.actor).Scan(&token, &t.sample); err != nil {
			return fmt.Errorf("stats: %w", err)
		}
		copy(t.token[:], token)
		a.tokens[c.actor] = t
	}
	return nil
}

func (a *answer) compose(ctx context.Context, names Names) (query.Stats, error) {
	actor := map[int64]string{0: Erased, otherActor: Other}
	for no, t := range a.tokens {
		if a.q.ActorID != "" {
			actor[no] = a.q.ActorID
			continue
		}
		name, err := names.ActorID(ctx, a.q.Tenant, t.token, t.sample)
		if err != nil {
			return query.Stats{}, err
		}
		actor[no] = name
	}
	var out query.Stats
	actions, types := map[string]int64{}, map[string]int64{}
	buckets := map[eventstore.Micros]int64{}
	for _, c := range a.counts {
		out.Total += c.n
		buckets[c.at] += c.n
		actions[a.combos[c.combo].action] += c.n
		types[a.combos[c.combo].resourceType] += c.n
	}
	out.TopActions, out.TopResources = top(actions, topValues), top(types, topValues)
	actors := map[string]int64{}
	for _, c := range a.actors {
		actors[actor[c.actor]] += c.n
	}
	out.TopActors = top(actors, topValues)
	groups := a.groups(actor)
	for _, at := range slices.Sorted(maps.Keys(buckets)) {
		out.Buckets = append(out.Buckets, query.Bucket{Start: at, Count: buckets[at], Groups: groups[at]})
	}
	return out, nil
}

// groups are the counts of each bucket by the wanted field; empty without one.
func (a *answer) groups(actor map[int64]string) map[eventstore.Micros][]query.Count {
	if a.q.GroupBy == "" {
		return nil
	}
	rows := a.counts
	key := func(c count) string { return a.combos[c.combo].field(a.q.GroupBy) }
	if a.q.GroupBy == "actor_id" {
		rows, key = a.byActor, func(c count) string { return actor[c.actor] }
	}
	total := map[string]int64{}
	for _, c := range rows {
		total[key(c)] += c.n
	}
	delete(total, Other) // it takes no other value's place
	named := map[string]bool{Other: true}
	for _, c := range top(total, groupValues) {
		named[c.Key] = true
	}
	sums := map[eventstore.Micros]map[string]int64{}
	for _, c := range rows {
		k := key(c)
		if !named[k] {
			k = Other
		}
		if sums[c.at] == nil {
			sums[c.at] = map[string]int64{}
		}
		sums[c.at][k] += c.n
	}
	out := map[eventstore.Micros][]query.Count{}
	for at, s := range sums {
		out[at] = top(s, len(s))
	}
	return out
}

func (c combo) field(name string) string {
	switch name {
	case "action":
		return c.action
	case "severity":
		return c.severity
	case "outcome":
		return c.outcome
	default:
		return c.resourceType
	}
}

// top are the n largest, descending, equal ones by key.
func top(sums map[string]int64, n int) []query.Count {
	out := make([]query.Count, 0, len(sums))
	for k, v := range sums {
		out = append(out, query.Count{Key: k, Count: v})
	}
	slices.SortFunc(out, func(a, b query.Count) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key)) })
	return out[:min(n, len(out))]
}
