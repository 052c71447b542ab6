package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// get begins a long answer as a role.
func (p *process) get(ctx context.Context, path, role, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.tokens[role])
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		err = fmt.Errorf("GET %s answers %s", path, resp.Status)
	}
	return resp, err
}

// streamed measures from the acknowledgement to the arrival on a live stream.
func (m *reader) streamed(ctx context.Context, bounds Line) error {
	resp, err := m.p.get(ctx, pathLogs+"/stream", "reader", "text/event-stream")
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
		if _, err := post(m.c, m.p.tokens["writer"], body); err != nil {
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
	l.Floor, l.Goal, l.Sides = bounds.Floor, bounds.Goal, map[string]float64{"p50_ms": took.ms(0.5)}
	return m.report(bounds.under(l))
}

// export takes everything and watches the service's memory meanwhile.
func (m *reader) export(ctx context.Context) error {
	before, err := m.p.resident()
	if err != nil {
		return err
	}
	start := time.Now()
	resp, err := m.p.get(ctx, pathLogs+"/export?format=ndjson", "reader", "*/*")
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
