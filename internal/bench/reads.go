package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// wholeLine fills a tenant with projections running, then reads from it.
func (r *run) wholeLine(ctx context.Context) error {
	dir, err := r.fresh("line-")
	if err != nil {
		return err
	}
	p, err := launch(ctx, r.Binary, dir)
	if err != nil {
		return err
	}
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	m := &reader{run: r, p: p, c: c}
	for _, step := range []func(context.Context) error{m.sustained, m.searches, m.pages, m.found, m.streamed, m.export} {
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
	for deadline := time.Now().Add(time.Hour); ; {
		status, _, err := m.c.do("GET", fmt.Sprintf("%s?limit=1&min_position=%d&wait=10s", pathLogs, last), m.p.tokens["reader"], nil)
		if err != nil || time.Now().After(deadline) {
			return errors.Join(err, errors.New("search does not catch up"))
		}
		if status == http.StatusOK {
			break
		}
	}
	took := time.Since(start)
	l := m.line("sustained: appends and all projections", float64(m.Entries)/took.Seconds(), "entries/s", m.Entries)
	l.Sides = map[string]float64{"append_s": appended.Seconds(), "until_found_s": took.Seconds()}
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

func (m *reader) post(body []byte) (int64, error) {
	answer, err := m.c.want(http.StatusCreated, "POST", pathLogs, m.p.tokens["writer"], body)
	if err != nil {
		return 0, err
	}
	var e struct{ Position int64 }
	err = json.Unmarshal(answer, &e)
	return e.Position, err
}

// found measures from the acknowledgement to the answer of a search that waited for the entry.
func (m *reader) found(context.Context) error {
	bodies, err := entries(m.Entries, m.Samples)
	if err != nil {
		return err
	}
	var took times
	for _, body := range bodies {
		position, err := m.post(body)
		if err != nil {
			return err
		}
		start := time.Now()
		if _, err := m.list(fmt.Sprintf("limit=1&min_position=%d&wait=10s", position)); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	l := m.line("acknowledged to found by search, p99", took.ms(0.99), "ms", len(took))
	l.Floor, l.Sides = 250, map[string]float64{"p50_ms": took.ms(0.5)}
	return m.report(l)
}

// streamed measures from the acknowledgement to the arrival on a live stream.
func (m *reader) streamed(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.p.addr+"/api/v1/logs/stream", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+m.p.tokens["reader"])
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	arrived := make(chan time.Time, 1)
	go func() {
		defer close(arrived)
		lines := bufio.NewReaderSize(resp.Body, 64<<10)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "event: entry") || strings.HasPrefix(line, "event:entry") {
				arrived <- time.Now()
			}
		}
	}()
	bodies, err := entries(0, m.Samples)
	if err != nil {
		return err
	}
	var took times
	for _, body := range bodies {
		if _, err := m.post(body); err != nil {
			return err
		}
		acknowledged := time.Now()
		at, ok := <-arrived
		if !ok {
			return errors.New("the stream ended")
		}
		took = append(took, max(0, at.Sub(acknowledged)))
	}
	l := m.line("acknowledged to stream, p99", took.ms(0.99), "ms", len(took))
	l.Floor, l.Sides = 100, map[string]float64{"p50_ms": took.ms(0.5)}
	return m.report(l)
}

// export takes everything and watches the service's memory meanwhile.
func (m *reader) export(ctx context.Context) error {
	before, err := m.p.resident()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.p.addr+"/api/v1/logs/export?format=ndjson", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+m.p.tokens["reader"])
	start := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	done := make(chan error, 1)
	var size int64
	go func() {
		n, err := io.Copy(io.Discard, resp.Body)
		size = n
		done <- err
	}()
	most := before
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case err := <-done:
			tick.Stop()
			if err != nil {
				return err
			}
			took := time.Since(start).Seconds()
			l := m.line("export of all, growth of resident memory", most-before, "MiB", 1)
			l.Floor, l.Sides = 64, map[string]float64{"before_MiB": before, "most_MiB": most, "MB": float64(size) / 1e6, "entries_per_s": float64(m.Entries) / took}
			return m.report(l)
		case <-tick.C:
			now, err := m.p.resident()
			if err != nil {
				return err
			}
			most = max(most, now)
		}
	}
}
