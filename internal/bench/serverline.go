package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

const (
	loadTenants = 16      // send the load, spread over the shards
	loadConns   = 8       // over which they do
	corpus      = 100_000 // documents that a rebuild and the bare client write
)

// window is how many entries the projections may lag behind when the whole line is to be full: some seconds of work.
func (r *run) window() int64 { return int64(min(20_000, max(4*bulkEntries, r.Entries))) }

// serverLine measures the whole line of the distributed tier.
type serverLine struct {
	*stack
	meter  *odometer
	docs   *documents
	reader *reader             // over the first API
	tokens []map[string]string // of the tenants that send the load

	apis, workers []*process // that run

	sustained float64 // entries/s of one API and one worker
}

func (r *run) serverLine(ctx context.Context) error {
	return r.with(ctx, func(ctx context.Context, s *stack) (err error) {
		m := &serverLine{stack: s}
		defer func() { m.close(ctx) }()
		searches := func(ctx context.Context) error { return errors.Join(m.reader.searches(ctx), m.reader.pages(ctx)) }
		return r.take(ctx, []step{
			{"", "  the first entries, whose documents are kept", m.begin},
			{"rebuild", "  rebuild of the search projection", m.rebuild},
			{"sustained", "  sustained rate", m.sustain},
			{"scale", "  two processes of each", m.scale},
			{"latency", "  latencies at half of the sustained rate", m.latencies},
			{"calls", "  SQS calls", m.calls},
			{"", "  filling the tenant to read from", m.fill},
			{"search", "  searches", searches},
			{"replay", "  replay", m.replay},
			{"export", "  export", func(ctx context.Context) error { return m.reader.export(ctx) }},
		}, func(name string) bool { return r.wants(name) || slices.Contains(r.Only, "line") })
	})
}

func (m *serverLine) close(ctx context.Context) {
	if m.docs != nil {
		m.docs.Close()
	}
	if m.meter != nil {
		_ = m.meter.db.Close(ctx) // it was only read
	}
	if m.reader != nil {
		m.reader.c.close()
	}
}

// begin fills the tenant to read from with the entries of the corpus, whose documents a proxy keeps, then starts the
// processes anew without the proxy.
func (m *serverLine) begin(ctx context.Context) (err error) {
	if m.meter, err = newOdometer(ctx, m.owner); err != nil {
		return err
	}
	most := min(corpus, m.Entries)
	if m.docs, err = newDocuments(m.Servers.Search, most); err != nil {
		return err
	}
	p, err := m.api(ctx)
	if err != nil {
		return err
	}
	m.apis = []*process{p}
	if p.tokens, err = m.tenant(p); err != nil {
		return err
	}
	for range loadTenants {
		tokens, err := m.tenant(p)
		if err != nil {
			return err
		}
		m.tokens = append(m.tokens, tokens)
	}
	if m.reader, err = m.run.reader(p); err != nil {
		return err
	}
	w, err := m.start(ctx, map[string]string{"AUDITLOG_SEARCH": m.docs.URL}, "worker")
	if err != nil {
		return err
	}
	if err := m.append(ctx, 0, most); err != nil {
		return err
	}
	if err := m.end(w); err != nil {
		return err
	}
	if kept := len(m.docs.ends); kept != most {
		return fmt.Errorf("%d of %d documents came by", kept, most)
	}
	return m.processes(ctx, 1)
}

// append puts entries from one number up to another into the tenant to read from, and waits until all projections have
// them.
func (m *serverLine) append(ctx context.Context, from, to int) error {
	v := &valve{window: m.window(), meter: m.meter}
	looking, stop := context.WithCancel(ctx)
	defer stop()
	looked := make(chan error, 1)
	go func() { looked <- v.open(looking) }()
	for at := from; at < to; at += bulkEntries {
		e, err := entries(at, min(bulkEntries, to-at))
		if err != nil {
			return err
		}
		select {
		case err := <-looked:
			return err
		default:
		}
		if !v.take(ctx, bulkEntries) {
			return ctx.Err()
		}
		if _, err := m.reader.c.want(http.StatusCreated, "POST", pathBulk, m.apis[0].tokens["writer"], bulkBody(e)); err != nil {
			return err
		}
	}
	stop()
	return errors.Join(<-looked, m.meter.caughtUp(ctx))
}

// processes makes it n APIs and n workers. The first API stays.
func (m *serverLine) processes(ctx context.Context, n int) error {
	for len(m.apis) < n {
		p, err := m.api(ctx)
		if err != nil {
			return err
		}
		m.apis = append(m.apis, p)
	}
	for len(m.workers) < n {
		p, err := m.worker(ctx)
		if err != nil {
			return err
		}
		m.workers = append(m.workers, p)
	}
	err := m.end(append(append([]*process(nil), m.apis[n:]...), m.workers[n:]...)...)
	m.apis, m.workers = m.apis[:n], m.workers[:n]
	return err
}

// load is a feed of all load tenants over all APIs.
func (m *serverLine) load(each int, take func(context.Context, int64) bool) (feed, error) {
	f := feed{conns: loadConns, each: each, take: take}
	for i, tokens := range m.tokens {
		f.to = append(f.to, target{m.apis[i%len(m.apis)].addr, tokens["writer"]})
	}
	var err error
	f.body, err = again(each)
	return f, err
}

// fill brings the tenant to read from to its size.
func (m *serverLine) fill(ctx context.Context) error {
	return m.append(ctx, min(corpus, m.Entries), m.Entries)
}
