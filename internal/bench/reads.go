package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// wholeLine fills a tenant of the embedded tier with projections running, then reads from it.
func (r *run) wholeLine(ctx context.Context) error {
	dir, err := r.fresh("line-")
	if err != nil {
		return err
	}
	p, err := launch(ctx, r.Binary, dir)
	if err != nil {
		return err
	}
	m, err := r.reader(p)
	if err != nil {
		return err
	}
	defer m.c.close()
	for _, step := range []func(context.Context) error{
		m.sustained, m.searches, m.pages,
		func(context.Context) error { return m.found(1, Line{Floor: 250}, 0) },
		func(ctx context.Context) error { return m.streamed(ctx, Line{Floor: 100}) },
		m.export,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return p.stop()
}

// reader measures reads of one filled tenant.
type reader struct {
	*run
	p *process
	c *conn
}

func (r *run) reader(p *process) (*reader, error) {
	c, err := dial(p.addr)
	return &reader{r, p, c}, err
}

func (m *reader) line(name string, value float64, unit string, samples int) Line {
	return Line{Name: name, Value: value, Unit: unit, Cache: "warm", Workers: "on", Connections: 1, Samples: samples, Entries: m.Entries}
}

func (m *reader) list(query string) ([]byte, error) {
	return m.c.want(http.StatusOK, "GET", pathLogs+"?"+query, m.p.tokens["reader"], nil)
}

// sustained fills the tenant; the clock stops when search has everything.
func (m *reader) sustained(context.Context) error {
	start := time.Now()
	var appended time.Duration
	last := int64(0)
	for at := 0; at < m.Entries; at += bulkEntries {
		e, err := entries(at, min(bulkEntries, m.Entries-at))
		if err != nil {
			return err
		}
		answer, err := m.c.want(http.StatusCreated, "POST", pathBulk, m.p.tokens["writer"], bulkBody(e))
		if err != nil {
			return err
		}
		var items struct{ Items []struct{ Position int64 } }
		if err := json.Unmarshal(answer, &items); err != nil {
			return err
		}
		last = items.Items[len(items.Items)-1].Position
		appended = time.Since(start)
	}
	if err := awaitFound(m.c, m.p.tokens["reader"], last, time.Hour); err != nil {
		return err
	}
	took := time.Since(start)
	l := m.line("sustained: appends and all projections", float64(m.Entries)/took.Seconds(), "entries/s", m.Entries)
	l.Least, l.Sides = true, map[string]float64{"append_s": appended.Seconds(), "until_found_s": took.Seconds()}
	return m.report(l)
}

// searches takes first pages by a filter, by two words, and by both.
func (m *reader) searches(context.Context) error {
	for name, query := range map[string]func(int) string{
		"by a filter":    func(n int) string { return "actor_id=ann-" + strconv.Itoa(n%200) },
		"by two filters": func(int) string { return "action=document.shared&outcome=denied" },
		"by metadata":    func(int) string { return "metadata.region=eu-west&severity=ERROR" },
		"by two words": func(n int) string {
			return "q=" + url.QueryEscape([]string{"chidi invoice", "rotated teal", "hana report"}[n%3])
		},
	} {
		var took times
		for n := range m.Samples {
			start := time.Now()
			if _, err := m.list("limit=50&" + query(n)); err != nil {
				return err
			}
			took = append(took, time.Since(start))
		}
		l := m.line("search first page of 50 "+name+", p99", took.ms(0.99), "ms", len(took))
		l.Floor, l.Goal, l.Sides = 100, 30, map[string]float64{"p50_ms": took.ms(0.5)}
		if err := m.report(l); err != nil {
			return err
		}
	}
	return nil
}

// pages walks by cursor and compares the first fifty pages with fifty around page 1,000, or the last there is.
func (m *reader) pages(context.Context) error {
	const around = 50
	deep := min(1000, m.Entries/50-around)
	if deep <= around {
		return nil
	}
	var first, far times
	query := "limit=50"
	for n := range deep + around/2 {
		start := time.Now()
		answer, err := m.list(query)
		took := time.Since(start)
		var page struct {
			Next string `json:"next_cursor"`
		}
		if err == nil {
			err = json.Unmarshal(answer, &page)
		}
		if err != nil || page.Next == "" {
			return errors.Join(err, fmt.Errorf("page %d is the last", n+1))
		}
		query = "limit=50&cursor=" + url.QueryEscape(page.Next)
		switch {
		case n < around:
			first = append(first, took)
		case n >= deep-around/2:
			far = append(far, took)
		}
	}
	l := m.line(fmt.Sprintf("page %d / page 1", deep), far.ms(0.5)/first.ms(0.5), "ratio", len(far))
	l.Floor, l.Goal, l.Sides = 2, 1.1, map[string]float64{"first_ms": first.ms(0.5), "far_ms": far.ms(0.5)}
	return m.report(l)
}

// post sends an entry and gives its position.
func post(c *conn, token string, body []byte) (int64, error) {
	answer, err := c.want(http.StatusCreated, "POST", pathLogs, token, body)
	if err != nil {
		return 0, err
	}
	var e struct{ Position int64 }
	err = json.Unmarshal(answer, &e)
	return e.Position, err
}

// awaitFound waits until a search covers a position. An answer that says it is behind or busy is asked for again, which
// counts as waiting.
func awaitFound(c *conn, token string, position int64, most time.Duration) error {
	query := fmt.Sprintf("%s?limit=1&min_position=%d&wait=10s", pathLogs, position)
	for deadline := time.Now().Add(most); ; {
		status, answer, err := c.do("GET", query, token, nil)
		switch {
		case err != nil || status == http.StatusOK:
			return err
		case status != http.StatusGatewayTimeout && status != http.StatusServiceUnavailable && !bytes.Contains(answer, []byte("query-too-costly")) || time.Now().After(deadline):
			return fmt.Errorf("search does not catch up: %d %.300s", status, answer)
		}
	}
}

// found measures from the acknowledgement to the answer of a search that waited for the entry, over connections at the
// same time, less what the index takes on purpose. Each connection's first is not counted: it may meet what an earlier
// measure left to do.
func (m *reader) found(conns int, bounds Line, interval time.Duration) error {
	bodies, err := entries(m.Entries, conns+m.Samples)
	if err != nil {
		return err
	}
	took := make(times, len(bodies))
	var all errgroup.Group
	for first := range conns {
		all.Go(func() error {
			c, err := dial(m.p.addr)
			if err != nil {
				return err
			}
			defer c.close()
			for i := first; i < len(bodies); i += conns {
				position, err := post(c, m.p.tokens["writer"], bodies[i])
				if err != nil {
					return err
				}
				start := time.Now()
				if err := awaitFound(c, m.p.tokens["reader"], position, time.Minute); err != nil {
					return err
				}
				took[i] = time.Since(start)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	took = took[conns:]
	l := m.line("acknowledged to found by search, p99", took.ms(0.99), "ms", len(took))
	l.Floor, l.Goal, l.Connections, l.Sides = bounds.Floor, bounds.Goal, conns, map[string]float64{"p50_ms": took.ms(0.5)}
	if interval > 0 {
		l.Name += " less the refresh interval"
		l.Value = max(0, l.Value-float64(interval.Milliseconds()))
		l.Sides["p99_ms"], l.Sides["refresh_ms"] = took.ms(0.99), float64(interval.Milliseconds())
	}
	return m.report(bounds.under(l))
}
