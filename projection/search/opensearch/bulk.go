package opensearch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// item is one line pair, or line, of a _bulk.
type item struct {
	index string
	lines []byte // ends in a line feed
}

// verdict is what became of an item.
type verdict struct {
	Status int     `json:"status"`
	Error  failure `json:"error"`
}

// bulker groups the items of those who send at the same time into _bulk requests: while all of its senders are busy,
// items wait and go together. It is safe for concurrent use.
type bulker struct {
	server *server
	limits Requests

	mu     sync.Mutex // guards the fields below
	queue  []*job
	flying int
}

// job is the items of one caller, sent whole or in several requests.
type job struct {
	items    []item
	sent     int       // items that some request took
	verdicts []verdict // by item; Status 0 where no answer came
	err      error     // why there is no answer for some
	left     int       // items without an end
	done     chan struct{}
}

// send sends items once and waits for their verdicts. An error tells of a request that had no answer for its items: their
// Status is 0, and what became of them is unknown.
func (b *bulker) send(ctx context.Context, items []item) ([]verdict, error) {
	if len(items) == 0 {
		return nil, nil
	}
	j := &job{items: items, verdicts: make([]verdict, len(items)), left: len(items), done: make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, j)
	if b.flying < b.limits.Parallel {
		b.flying++
		go b.fly()
	}
	b.mu.Unlock()
	select {
	case <-j.done:
		return j.verdicts, j.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly sends requests until nothing waits. It ends by itself: each request has its timeout.
func (b *bulker) fly() {
	for {
		b.mu.Lock()
		parts, lines := b.take()
		if len(parts) == 0 {
			b.flying--
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		verdicts, err := b.request(lines)
		b.mu.Lock()
		at := 0
		for _, p := range parts {
			n := p.to - p.from
			if err == nil {
				copy(p.job.verdicts[p.from:p.to], verdicts[at:at+n])
			} else {
				p.job.err = err
			}
			at += n
			if p.job.left -= n; p.job.left == 0 {
				close(p.job.done)
			}
		}
		b.mu.Unlock()
	}
}

// part is the items of a job that one request holds.
type part struct {
	job      *job
	from, to int
}

// take takes items off the queue, at most MaxBytes but at least one. It is called with the lock.
func (b *bulker) take() (parts []part, lines [][]byte) {
	for size := 0; len(b.queue) > 0; {
		j := b.queue[0]
		p := part{j, j.sent, j.sent}
		for p.to < len(j.items) && (size == 0 || size+len(j.items[p.to].lines) <= b.limits.MaxBytes) {
			lines = append(lines, j.items[p.to].lines)
			size += len(j.items[p.to].lines)
			p.to++
		}
		if p.to > p.from {
			parts = append(parts, p)
			j.sent = p.to
		}
		if p.to < len(j.items) {
			break
		}
		b.queue = b.queue[1:]
	}
	return parts, lines
}

// request sends one _bulk, or several where the server takes less at once. A nil error means one verdict per item.
func (b *bulker) request(lines [][]byte) ([]verdict, error) {
	var answer struct {
		Items []map[string]verdict `json:"items"`
	}
	err := b.server.do(context.Background(), http.MethodPost, "/_bulk?require_alias=true&filter_path=errors,items.*.status,items.*.error", bytes.Join(lines, nil), &answer)
	var r *refused
	if errors.As(err, &r) && r.Status == http.StatusRequestEntityTooLarge {
		if len(lines) == 1 {
			return []verdict{{Status: r.Status, Error: failure{Type: "too_large", Reason: "the document is larger than the server takes"}}}, nil
		}
		first, err := b.request(lines[:len(lines)/2])
		if err != nil {
			return nil, err
		}
		second, err := b.request(lines[len(lines)/2:])
		return append(first, second...), err
	}
	if err != nil {
		return nil, err
	}
	if len(answer.Items) != len(lines) {
		return nil, fmt.Errorf("opensearch answered %d verdicts for %d items", len(answer.Items), len(lines))
	}
	out := make([]verdict, len(lines))
	for i, m := range answer.Items {
		for _, v := range m {
			out[i] = v
		}
	}
	return out, nil
}

// indexItem writes a document unless a newer one is there.
func indexItem(index string, d *document) item {
	lines := make([]byte, 0, 450+2*len(index)+len(d.terms)+3*len(d.ends)+len(d.words)) // seldom too small
	return item{index: index, lines: d.appendSource(appendAction(lines, "index", index, d))}
}

// deleteItem removes a document that was written a moment ago, with its version.
func deleteItem(index string, d *document) item {
	return item{index: index, lines: appendAction(nil, "delete", index, d)}
}

// appendAction appends the line that says what becomes of a document. Nothing in it needs escaping.
func appendAction(b []byte, verb, index string, d *document) []byte {
	b = append(append(append(b, `{"`...), verb...), `":{"_index":"`...)
	b = append(append(b, writeAlias(index)...), `","_id":"`...)
	b, _ = d.id.AppendText(b) // never fails
	b, _ = d.tenant.AppendText(append(b, `","routing":"`...))
	b = strconv.AppendInt(append(b, `","version":`...), int64(d.version), 10)
	return append(b, `,"version_type":"external_gte"}}`+"\n"...)
}

// outcome sorts what became of items.
type outcome struct {
	again  []item    // refused for now, or unknown
	why    error     // of again
	lost   []string  // indices that are not there
	poison []failure // refused for ever
	denied *refused  // refused for a reason that lies with neither item nor load, e.g. missing rights
}

func judge(items []item, verdicts []verdict, err error) outcome {
	o := outcome{why: err}
	for i, v := range verdicts {
		switch {
		case v.Status/100 == 2, v.Status == http.StatusConflict: // a conflict: a newer document is there
		case v.Status == http.StatusNotFound && v.Error.Type == "": // a delete that found nothing
		case v.Status == 0:
			o.again = append(o.again, items[i])
		case passing(v.Status), v.Error.Type == "cluster_block_exception":
			o.again = append(o.again, items[i])
			o.why = &refused{Status: v.Status, Type: v.Error.Type, Reason: v.Error.String()}
		case v.Error.Type == "index_not_found_exception":
			o.lost = append(o.lost, items[i].index)
		case v.Status == http.StatusBadRequest, v.Status == http.StatusRequestEntityTooLarge:
			o.poison = append(o.poison, v.Error)
		default:
			o.denied = &refused{Status: v.Status, Type: v.Error.Type, Reason: v.Error.String()}
		}
	}
	return o
}

// errLost says that the server lost an index, and what was in it.
var errLost = errors.New("an index that was there is gone")

// write sends items until each has its end, sending again what is refused for now with growing pauses.
// Errors: errLost, *projection.Poison for what is refused for ever once all others are in, otherwise transient.
func (x *Index) write(ctx context.Context, items []item) error {
	var poison []failure
	deadline := time.Now().Add(x.cfg.Requests.Patience)
	for pause := 50 * time.Millisecond; len(items) > 0; pause = min(2*pause, time.Second) {
		verdicts, err := x.bulk.send(ctx, items)
		if err != nil && verdicts == nil {
			return err
		}
		var r *refused
		if errors.As(err, &r) && !passing(r.Status) {
			return err
		}
		o := judge(items, verdicts, err)
		poison = append(poison, o.poison...)
		switch {
		case len(o.lost) > 0:
			return fmt.Errorf("%w: %s", errLost, o.lost[0])
		case o.denied != nil:
			return o.denied
		}
		if items = o.again; len(items) == 0 {
			break
		}
		if time.Now().Add(pause).After(deadline) {
			return fmt.Errorf("%d documents are still refused after %s: %w", len(items), x.cfg.Requests.Patience, o.why)
		}
		if err := wait(ctx, pause/2+rand.N(pause/2+1)); err != nil {
			return err
		}
	}
	return poisonOf(poison)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
