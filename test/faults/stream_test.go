package faults

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// capture is a reader of a tenant's live stream that comes back with its last position whenever the stream ends.
type capture struct {
	nodes *nodes
	token string

	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	last int64
	got  []message
	cuts int
}

// message is what came: "entry", "amended" or "erased", and its position.
type message struct {
	kind     string
	position int64
}

func startCapture(t *testing.T, nodes *nodes, token string) *capture {
	ctx, cancel := context.WithCancel(context.Background())
	c := &capture{nodes: nodes, token: token, cancel: cancel, done: make(chan struct{}), last: 1}
	go func() {
		defer close(c.done)
		for turn := 0; ctx.Err() == nil; turn++ {
			urls := nodes.urls()
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
			c.take(message{kind, position})
		}
	}
}

func (c *capture) take(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = m.position
	if m.kind != "heartbeat" && m.kind != "lagged" {
		c.got = append(c.got, m)
	}
}

func (c *capture) position() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}
