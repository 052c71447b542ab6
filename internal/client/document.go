package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
)

// ErrCut says that a document did not come to its end; what was received is no answer.
var ErrCut = errors.New("the answer was cut; what came is not whole")

// Document is a long answer that tells by its end whether it is whole.
type Document struct {
	Path   string
	Format string      // csv, json or ndjson
	Moved  func(int64) // told of the items so far, now and then; nil: nobody
}

// Fetch copies a document to w and checks its end against what came. It gives the number of items. An error means that
// w holds no whole document.
func (c *Client) Fetch(ctx context.Context, d Document, w io.Writer) (int64, error) {
	resp, err := c.Do(ctx, Request{Method: http.MethodGet, Path: d.Path})
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	seen := &watcher{moved: d.Moved, sum: sha256.New()}
	if seen.moved == nil {
		seen.moved = func(int64) {}
	}
	if _, err := io.Copy(io.MultiWriter(w, seen), resp.Body); err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, errors.Join(ErrCut, err)
	}
	switch d.Format {
	case "csv":
		return seen.csvEnd(resp.Trailer)
	case "json":
		return seen.jsonEnd()
	}
	return seen.linesEnd()
}

// keptLine bounds what is remembered of a line: the last one, which is short, is all that is read.
const keptLine = 4 << 10

// watcher counts the lines that pass.
type watcher struct {
	moved func(int64)
	sum   hash.Hash
	line  []byte // beginning of the current line
	last  []byte // beginning of the last whole line
	items int64  // lines that are neither a purged range nor the end
	tail  []byte // last bytes of all
}

const keptTail = 512

func (w *watcher) Write(p []byte) (int, error) {
	w.sum.Write(p)
	w.tail = append(w.tail, p[max(0, len(p)-keptTail):]...)
	w.tail = w.tail[max(0, len(w.tail)-keptTail):]
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte{'\n'})
		w.line = append(w.line, line[:min(len(line), keptLine-min(len(w.line), keptLine))]...)
		if ended {
			w.endLine()
		}
		rest = after
	}
	w.moved(w.items)
	return len(p), nil
}

func (w *watcher) endLine() {
	if !bytes.HasPrefix(w.line, []byte(`{"purged":`)) && !bytes.HasPrefix(w.line, []byte(`{"end":`)) {
		w.items++
	}
	w.last, w.line = append(w.last[:0], w.line...), w.line[:0]
}

func (w *watcher) linesEnd() (int64, error) {
	var end struct {
		End   bool  `json:"end"`
		Count int64 `json:"count"`
	}
	if json.Unmarshal(w.last, &end) != nil || !end.End || len(w.line) > 0 {
		return 0, ErrCut
	}
	return agree(w.items, end.Count)
}

func (w *watcher) csvEnd(trailer http.Header) (int64, error) {
	count, err := strconv.ParseInt(trailer.Get("X-Export-Count"), 10, 64)
	if err != nil || trailer.Get("Digest") != "sha-256="+base64.StdEncoding.EncodeToString(w.sum.Sum(nil)) {
		return 0, ErrCut
	}
	return count, nil
}

// jsonEnd reads the count behind the list; that the document is well-formed is the sender's promise, since a cut
// connection is an error already.
func (w *watcher) jsonEnd() (int64, error) {
	tail := bytes.TrimSpace(w.tail)
	i := bytes.LastIndex(tail, []byte(`"count":`))
	if i < 0 || !bytes.HasSuffix(tail, []byte("}}")) {
		return 0, ErrCut
	}
	var count int64
	if _, err := fmt.Sscanf(string(tail[i:]), `"count":%d`, &count); err != nil {
		return 0, ErrCut
	}
	return count, nil
}

func agree(got, told int64) (int64, error) {
	if got != told {
		return 0, fmt.Errorf("%w: %d items came, %d were told", ErrCut, got, told)
	}
	return got, nil
}
