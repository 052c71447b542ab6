package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Limits of a bulk (HTTP contract).
const (
	MaxBulkEntries = 1000
	MaxBulkBytes   = 5 << 20
)

// Item is what became of one entry of a bulk.
type Item struct {
	Status   int      `json:"status"`
	ID       string   `json:"id"`
	Position int64    `json:"position"`
	Replayed bool     `json:"replayed"`
	Problem  *Problem `json:"problem"`
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
func (c *Client) Bulk(ctx context.Context, entries [][]byte) ([]Item, error) {
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
	body = append(body, bulkTail...)
	var items []Item
	err := c.patiently(ctx, func() (err error) {
		items, err = c.bulk(ctx, body, len(entries))
		return err
	})
	return items, err
}

func (c *Client) bulk(ctx context.Context, body []byte, entries int) ([]Item, error) {
	resp, err := c.once(ctx, Request{Method: http.MethodPost, Path: "/api/v1/logs/bulk?mode=partial", ContentType: "application/json", Body: body})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Items []Item `json:"items"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, &connectionError{base: c.base, cause: err}
	}
	if len(answer.Items) != entries {
		return nil, fmt.Errorf("the server answered for %d of %d entries", len(answer.Items), entries)
	}
	for _, item := range answer.Items {
		if item.Problem != nil && item.Problem.Transient() {
			return nil, item.Problem
		}
	}
	return answer.Items, nil
}
