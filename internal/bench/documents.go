package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// documents keeps what the service writes into the search index, as a proxy before the server: the index itself does not
// keep it.
type documents struct {
	*httptest.Server
	forward http.Handler

	mu    sync.Mutex // guards the fields below
	most  int
	items []byte // pairs of lines, without the index's name
	ends  []int  // of each pair in items
	seen  map[string]bool
}

// newDocuments keeps the first most documents.
func newDocuments(server string, most int) (*documents, error) {
	to, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("--search: %w", err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	forward.ErrorLog = log.New(io.Discard, "", 0) // a worker that ends gives up requests
	d := &documents{forward: forward, most: most, seen: map[string]bool{}}
	d.Server = httptest.NewServer(d)
	return d, nil
}

func (d *documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/_bulk") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		d.keep(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	d.forward.ServeHTTP(w, r)
}

// keep takes each document once: some are sent again.
func (d *documents) keep(body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(body) > 0 && len(d.ends) < d.most {
		action, rest, _ := bytes.Cut(body, []byte("\n"))
		source, rest, _ := bytes.Cut(rest, []byte("\n"))
		body = rest
		_, routed, found := bytes.Cut(action, []byte(idField)) // behind the index's name
		if !found || !bytes.HasPrefix(action, []byte(`{"index"`)) || d.seen[string(routed)] {
			continue
		}
		d.seen[string(routed)] = true
		d.items = append(append(append(d.items, idField...), routed...), '\n')
		d.items = append(append(d.items, source...), '\n')
		d.ends = append(d.ends, len(d.items))
	}
}

// bareConns is how many connections the bare client sends over.
const bareConns = 2

// send is the bare client: for a while, but at least once, it writes the documents into a fresh index with the same
// template, bulkEntries a request, and gives the documents acknowledged each second. Each round has ids of its own. A
// while as long as the service's lets the server flush and merge for both.
func (d *documents) send(ctx context.Context, s *stack, while time.Duration) (perSecond float64, err error) {
	name := fmt.Sprintf("%s-g%d-bare-2000.01", s.name, 900_000_000+time.Now().UnixNano()%90_000_000)
	if _, err := s.search(ctx, http.MethodPut, "/"+name, nil); err != nil {
		return 0, err
	}
	sent, start := 0, time.Now()
	for round := 0; round == 0 || time.Since(start) < while; round++ {
		if err := d.round(ctx, s, name, round); err != nil {
			return 0, err
		}
		sent += len(d.ends)
	}
	perSecond = float64(sent) / time.Since(start).Seconds()
	_, err = s.search(ctx, http.MethodDelete, "/"+name, nil)
	return perSecond, err
}

// round writes each document once.
func (d *documents) round(ctx context.Context, s *stack, index string, round int) error {
	var all errgroup.Group
	for lane := range bareConns {
		all.Go(func() error {
			var body []byte
			for first := lane * bulkEntries; first < len(d.ends); first += bareConns * bulkEntries {
				body = d.request(body[:0], index, round, first)
				answer, err := s.bulk(ctx, body)
				if err != nil || bytes.Contains(answer, []byte("true")) {
					return fmt.Errorf("the bare client's documents are refused: %s %w", answer, err)
				}
			}
			return nil
		})
	}
	return all.Wait()
}

// bulk sends a _bulk, again after a pause while the server has no room for it, as any client would.
func (s *stack) bulk(ctx context.Context, body []byte) ([]byte, error) {
	for {
		answer, err := s.search(ctx, http.MethodPost, "/_bulk?filter_path=errors", bytes.NewReader(body))
		if !errors.Is(err, errBusy) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// request is the next bulkEntries documents. The round's number takes the first digits of their ids.
func (d *documents) request(body []byte, index string, round, first int) []byte {
	begin := 0
	if first > 0 {
		begin = d.ends[first-1]
	}
	for _, end := range d.ends[first:min(first+bulkEntries, len(d.ends))] {
		item := d.items[begin:end]
		begin = end
		head := len(idField)
		body = fmt.Appendf(body, `{"index":{"_index":%q%s%08x`, index, item[:head], round)
		body = append(body, item[head+8:]...)
	}
	return body
}

// idField is what an item begins with, before the digits of its id.
const idField = `,"_id":"`
