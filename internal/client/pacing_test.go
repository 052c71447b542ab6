package client

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// limitedServer answers as the service does to a tenant that sends too much: one bulk a second, two at once.
type limitedServer struct {
	tries    []time.Time
	accepted int
	next     time.Time
	status   int
}

func (s *limitedServer) RoundTrip(*http.Request) (*http.Response, error) {
	now := time.Now()
	s.tries = append(s.tries, now)
	answer := func(status int, header http.Header, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
	if s.next.After(now.Add(time.Second)) {
		return answer(s.status, http.Header{"Retry-After": {"1"}, "Content-Type": {"application/problem+json"}}, `{"type":"/problems/rate-limited","detail":"the tenant sends too many entries"}`)
	}
	if s.next.Before(now) {
		s.next = now
	}
	s.next = s.next.Add(time.Second)
	s.accepted++
	return answer(http.StatusMultiStatus, http.Header{}, `{"items":[{"status":201,"id":"i","position":2}]}`)
}

// A client that is told to wait waits as long as it is told, no less, and gets everything through.
func TestKeepsTheServersPace(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			server := &limitedServer{status: status}
			told := 0
			c, err := New("http://server", "token", Options{HTTP: &http.Client{Transport: server}, OnRetry: func(error) { told++ }})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for range 10 {
				if _, err := c.Bulk(t.Context(), [][]byte{[]byte(`{}`)}); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(start); server.accepted != 10 || took < 8*time.Second || took > 10*time.Second {
				t.Errorf("%d: %d bulks accepted in %v", status, server.accepted, took)
			}
			if told == 0 || len(server.tries) != 10+told {
				t.Errorf("%d: %d tries, told of %d", status, len(server.tries), told)
			}
			for i := 1; i < len(server.tries); i++ { // a refused try is not followed by another before its time
				if gap := server.tries[i].Sub(server.tries[i-1]); gap != 0 && gap < time.Second {
					t.Errorf("%d: try %d after %v", status, i, gap)
				}
			}
		})
	}
}
