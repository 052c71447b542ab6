package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
)

// The first byte of an event's public part says whether a projection cannot take it.
const (
	sound     = 's'
	poisonous = 'd' // documents refuses it
	panics    = 'c' // counts panics
)

// models are the read models, durable, and what was parked of them.
type models struct {
	*clock
	lie    string
	store  *store
	mu     sync.Mutex // guards all; held for an instant
	of     map[string]*content
	parked map[parkedName]projection.Parked
	fixed  bool // nothing is poisonous any more
}

// content is one read model. counts adds each event to a number, in one transaction with its range; documents puts each
// under its id, and records the range afterwards.
type content struct {
	done  [shards]projection.Ranges
	times [shards]map[eventstore.Offset]int
	docs  map[eventstore.EventID]bool
}

type parkedName struct {
	destination string
	shard       eventstore.Shard
	projection.Range
}

func newModels(c *clock, s *store, lie string) *models {
	m := &models{clock: c, lie: lie, store: s, of: map[string]*content{}, parked: map[parkedName]projection.Parked{}}
	for _, d := range destinations {
		m.of[d] = &content{docs: map[eventstore.EventID]bool{}}
		for i := range m.of[d].times {
			m.of[d].times[i] = map[eventstore.Offset]int{}
		}
	}
	return m
}

func (m *models) progress(destination string, shard eventstore.Shard) projection.Ranges {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[destination].done[shard]
}

// mustHave holds a runner to its promise: what Handle answered without an error is recorded.
func (m *models) mustHave(destination string, env projection.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.of[destination].done[env.Shard].Covers(projection.Range{From: env.From, To: env.To}) {
		m.broken("I6", "%s acknowledged (%d, %d] of shard %d without recording it", destination, env.From, env.To, env.Shard)
	}
}

// refusal is what the projection says to events that it cannot take.
func (m *models) refusal(destination string, env projection.Envelope) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range env.Events {
		switch kind := e.Public[0]; {
		case m.fixed:
		case kind == poisonous && destination == "documents":
			return &projection.Poison{Err: fmt.Errorf("event %d cannot be read", e.Offset)}
		case kind == panics && destination == "counts":
			return errPanic
		}
	}
	return nil
}

var errPanic = errors.New("the projection panics")

// whole holds an envelope to its promise: what its range covers it has, unless that is recorded or parked.
func (m *models) whole(destination string, env projection.Envelope) {
	at, have := env.From, map[eventstore.Offset]bool{}
	for _, e := range env.Events {
		if e.Offset <= at || e.Offset > env.To {
			m.broken("I6", "event %d after %d in an envelope (%d, %d]", e.Offset, at, env.From, env.To)
		}
		at, have[e.Offset] = e.Offset, true
	}
	done := m.of[destination].done[env.Shard]
	for o := env.From + 1; o <= env.To; o++ {
		if _, parked := m.parked[parkedName{destination, env.Shard, projection.Range{From: o - 1, To: o}}]; !have[o] && !done.Has(o) && !parked {
			m.broken("I6", "%s is given (%d, %d] of shard %d without event %d", destination, env.From, env.To, env.Shard, o)
		}
	}
}

// count is the effect of counts with its range, in one transaction.
func (m *models) count(who string, env projection.Envelope, again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.whole("counts", env)
	c := m.of["counts"]
	for _, e := range env.Events {
		if c.done[env.Shard].Has(e.Offset) && m.lie != "ranges are not looked at" && (!again || c.times[env.Shard][e.Offset] > 0) {
			m.sometimes("event left out that was applied")
			continue
		}
		c.times[env.Shard][e.Offset]++
	}
	c.done[env.Shard] = c.done[env.Shard].Add(projection.Range{From: env.From, To: env.To})
	m.note(who, "counted", int64(env.Shard), int64(env.From), int64(env.To), int64(len(env.Events)))
}

// put is the effect of documents.
func (m *models) put(who string, env projection.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.whole("documents", env)
	for _, e := range env.Events {
		m.of["documents"].docs[e.ID] = true
	}
	m.note(who, "put", int64(env.Shard), int64(env.From), int64(env.To), int64(len(env.Events)))
}

// record adds a range of documents.
func (m *models) record(who string, env projection.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.of["documents"]
	c.done[env.Shard] = c.done[env.Shard].Add(projection.Range{From: env.From, To: env.To})
	m.note(who, "recorded", int64(env.Shard), int64(env.From), int64(env.To))
}

// model is a read model as one process sees it: a projection.Reapplier.
type model struct {
	p           *process
	destination string
	streams     [shards]*stream
	looks       *stream
}

func (w *world) newModel(p *process, destination string) *model {
	m := &model{p: p, destination: destination, looks: w.stream("%s/look/%s", p.name, destination)}
	for i := range m.streams {
		m.streams[i] = w.stream("%s/apply/%s/%d", p.name, destination, i)
	}
	return m
}

func (m *model) Name() string { return m.destination }

// Progress is called by the sweeper alone.
func (m *model) Progress(ctx context.Context, shard eventstore.Shard) (projection.Ranges, error) {
	if err := m.p.pause(ctx, m.looks, m.looks.usual()); err != nil {
		return nil, err
	}
	if m.looks.one(3) {
		return nil, errLost
	}
	return m.p.w.models.progress(m.destination, shard), nil
}

func (m *model) Apply(ctx context.Context, env projection.Envelope) error {
	return m.apply(ctx, env, false)
}

func (m *model) Reapply(ctx context.Context, env projection.Envelope) error {
	return m.apply(ctx, env, true)
}

func (m *model) apply(ctx context.Context, env projection.Envelope, again bool) error {
	s, all := m.streams[env.Shard], m.p.w.models
	took := s.usual()
	if s.one(10) {
		took += s.between(10*time.Millisecond, 100*time.Millisecond)
	}
	if err := m.p.pause(ctx, s, took); err != nil {
		return err
	}
	if s.one(4) || m.p.w.lie == "a projection stands still" && m.destination == "counts" && env.Shard == 1 {
		return errLost
	}
	err := all.refusal(m.destination, env)
	if errors.Is(err, errPanic) {
		panic(err)
	}
	if err != nil {
		return err
	}
	if len(env.Events) > 8 {
		m.p.w.sometimes("envelopes applied together")
	}
	if m.destination == "counts" {
		all.count(s.name, env, again)
	} else if err := m.putAndRecord(ctx, s, env); err != nil {
		return err
	}
	lost := s.one(4)
	if err := m.p.pause(ctx, s, s.between(0, time.Millisecond)); err != nil {
		return err
	}
	if lost {
		m.p.w.sometimes("answer of a projection lost")
		return errLost
	}
	return nil
}

// putAndRecord is an effect and its range, apart.
func (m *model) putAndRecord(ctx context.Context, s *stream, env projection.Envelope) error {
	all := m.p.w.models
	first, then := all.put, all.record
	if m.p.w.lie == "a range is recorded before its effect" {
		first, then = all.record, all.put
	}
	first(s.name, env)
	if err := m.p.mayCrash(s, "between effect and range"); err != nil {
		return err
	}
	if err := m.p.pause(ctx, s, s.usual()); err != nil {
		return err
	}
	if s.one(4) {
		return errLost
	}
	then(s.name, env)
	return nil
}
