package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"auditlog/internal/canon"
)

// Limits of a bulk (HTTP contract).
const (
	MaxBulkEntries = 1000
	MaxBulkBytes   = 5 << 20
)

// Item is what became of one entry of a bulk.
type Item struct {
	Status   int
	ID       string
	Position int64
	Replayed bool
	Problem  *Problem
}

const (
	bulkHead = `{"entries":[`
	bulkTail = `]}`
)

// BulkBytes is the size of the body that holds entries of total bytes.
func BulkBytes(entries, total int) int {
	return len(bulkHead) + total + max(0, entries-1) + len(bulkTail)
}

// Bulk sends entries, each the JSON of one, in partial mode; the answer has one item for each, in order. Whatever may
// succeed later is sent again, so no item tells of a passing trouble.
func (c *Client) Bulk(ctx context.Context, entries [][]byte) (items []Item, err error) {
	body := bulkBody(entries)
	err = c.patiently(ctx, func() (err error) {
		items, err = c.bulk(ctx, body, len(entries), "")
		return err
	})
	return items, err
}

// BulkInSequence sends entries as Bulk does, but once and as the nth bulk of a sequence, a UUID: several may be under way,
// and are stored in order. After an error it and those behind it are to be sent again; OnRetry is told of a passing one.
func (c *Client) BulkInSequence(ctx context.Context, entries [][]byte, sequence string, n int) ([]Item, error) {
	items, err := c.bulk(ctx, bulkBody(entries), len(entries), sequence+"/"+strconv.Itoa(n))
	if err != nil && transient(err) && ctx.Err() == nil {
		c.o.OnRetry(err)
	}
	return items, err
}

func bulkBody(entries [][]byte) []byte {
	size := 0
	for _, e := range entries {
		size += len(e)
	}
	body := append(make([]byte, 0, BulkBytes(len(entries), size)), bulkHead...)
	for i, e := range entries {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, e...)
	}
	return append(body, bulkTail...)
}

func (c *Client) bulk(ctx context.Context, body []byte, entries int, place string) ([]Item, error) {
	resp, err := c.once(ctx, Request{
		Method: http.MethodPost, Path: "/api/v1/logs/bulk?mode=partial", ContentType: "application/json", Body: body, sequence: place,
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &connectionError{base: c.base, cause: err}
	}
	items, err := readItems(answer, entries)
	if err != nil {
		return nil, &connectionError{base: c.base, cause: err}
	}
	if len(items) != entries {
		return nil, fmt.Errorf("the server answered for %d of %d entries", len(items), entries)
	}
	for _, item := range items {
		if item.Problem != nil && item.Problem.Transient() {
			return nil, item.Problem
		}
	}
	return items, nil
}

// readItems reads the answer to a bulk of so many entries. An import reads one for each of its entries, hence no
// reflection but for problems.
func readItems(answer []byte, entries int) ([]Item, error) {
	doc, err := canon.Parse(answer, canon.Limits{})
	if err != nil {
		return nil, err
	}
	defer doc.Release()
	items := make([]Item, 0, entries)
	for n := range doc.Root().Get("items").Elems() {
		var item Item
		for key, v := range n.Members() {
			switch string(key) {
			case "status":
				status, _ := v.Int()
				item.Status = int(status)
			case "id":
				item.ID = v.Text()
			case "position":
				item.Position, _ = v.Int()
			case "replayed":
				item.Replayed = v.Kind() == canon.True
			case "problem":
				if err := json.Unmarshal(v.Raw(), &item.Problem); err != nil {
					return nil, err
				}
			}
		}
		items = append(items, item)
	}
	return items, nil
}
