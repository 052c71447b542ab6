package bench

import (
	"bytes"
	"context"
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
		_, routed, found := bytes.Cut(action, []byte(`,"_id"`)) // behind the index's name
		if !found || !bytes.HasPrefix(action, []byte(`{"index"`)) || d.seen[string(routed)] {
			continue
		}
		d.seen[string(routed)] = true
		d.items = append(append(append(d.items, `,"_id"`...), routed...), '\n')
		d.items = append(append(d.items, source...), '\n')
		d.ends = append(d.ends, len(d.items))
	}
}

// bareConns is how many connections the bare client sends over.
const bareConns = 2

// send is the bare client: it writes the documents into a fresh index with the same template, bulkEntries a request, and
// gives the time until all are acknowledged.
func (d *documents) send(ctx context.Context, s *stack) (took time.Duration, err error) {
	name := fmt.Sprintf("%s-g%d-bare-2000.01", s.name, 900_000_000+time.Now().UnixNano()%90_000_000)
	if _, err := s.search(ctx, http.MethodPut, "/"+name, nil); err != nil {
		return 0, err
	}
	var requests [][]byte
	begin := 0
	for n, end := range d.ends {
		if n%bulkEntries == 0 {
			requests = append(requests, nil)
		}
		last := &requests[len(requests)-1]
		*last = fmt.Appendf(*last, `{"index":{"_index":%q%s`, name, d.items[begin:end])
		begin = end
	}
	var all errgroup.Group
	start := time.Now()
	for lane := range bareConns {
		all.Go(func() error {
			for i := lane; i < len(requests); i += bareConns {
				answer, err := s.search(ctx, http.MethodPost, "/_bulk?filter_path=errors", bytes.NewReader(requests[i]))
				if err != nil || bytes.Contains(answer, []byte("true")) {
					return fmt.Errorf("the bare client's documents are refused: %s %w", answer, err)
				}
			}
			return nil
		})
	}
	err = all.Wait()
	took = time.Since(start)
	if err == nil {
		_, err = s.search(ctx, http.MethodDelete, "/"+name, nil)
	}
	return took, err
}
