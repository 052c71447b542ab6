package faults

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"auditlog/test/faults/history"
)

// capture is a reader of a tenant's live stream that comes back with its last position whenever the stream ends.
type capture struct {
	to    targets
	token string

	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	last int64
	got  []history.Message
	cuts int
}

func startCapture(t *testing.T, to targets, token string) *capture {
	ctx, cancel := context.WithCancel(context.Background())
	c := &capture{to: to, token: token, cancel: cancel, done: make(chan struct{}), last: 1}
	go func() {
		defer close(c.done)
		for turn := 0; ctx.Err() == nil; turn++ {
			urls := to.urls()
			c.read(ctx, urls[turn%len(urls)])
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(c.end)
	return c
}

func (c *capture) end() {
	c.cancel()
	<-c.done
}

// read follows one stream until it ends.
func (c *capture) read(ctx context.Context, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/logs/stream", nil)
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", strconv.FormatInt(c.position(), 10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return
	}
	lines := bufio.NewReaderSize(resp.Body, 1<<20)
	kind, position := "", int64(0)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			c.mu.Lock()
			c.cuts++
			c.mu.Unlock()
			return
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "event":
			kind = value
		case "id":
			position, _ = strconv.ParseInt(value, 10, 64)
		case "data": // only then the message is whole
			c.take(history.Message{Kind: kind, Position: position})
		}
	}
}

func (c *capture) take(m history.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = m.Position
	if m.Kind != "heartbeat" && m.Kind != "lagged" {
		c.got = append(c.got, m)
	}
}

func (c *capture) position() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// upTo waits until the capture has reached a position, ends it, and gives what it brought.
func (c *capture) upTo(t *testing.T, position int64) []history.Message {
	t.Helper()
	until(t, "stream at the head", func() string {
		if at := c.position(); at < position {
			return fmt.Sprintf("it is at %d of %d", at, position)
		}
		return ""
	})
	c.end()
	return c.got
}
