package opensearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	osclient "github.com/opensearch-project/opensearch-go/v4"
)

// server speaks to the server's REST interface.
type server struct {
	client  *osclient.Client
	timeout time.Duration // of one request
}

// refused is an answer other than 2xx.
type refused struct {
	Status int
	Type   string // e.g. "index_not_found_exception"
	Reason string
	Shards []shardFailure // of a search
}

type shardFailure struct {
	Reason failure `json:"reason"`
}

// usedItsTime tells a search that ran in every shard which failed until its timeout. Time in the server's queue does not
// count for that.
func (r *refused) usedItsTime() bool {
	for _, s := range r.Shards {
		if s.Reason.Type != "query_phase_execution_exception" || s.Reason.Reason != "Time exceeded" {
			return false
		}
	}
	return len(r.Shards) > 0
}

func (r *refused) Error() string {
	return fmt.Sprintf("opensearch answered %d %s: %s", r.Status, r.Type, r.Reason)
}

// passing tells refusals that time may heal.
func passing(status int) bool { return status == http.StatusTooManyRequests || status >= 500 }

// do sends one request and decodes its answer into out, unless that is nil. Errors: *refused, or the transport's.
func (s *server) do(ctx context.Context, method, path string, body []byte, out any) error {
	return s.within(ctx, s.timeout, method, path, body, out)
}

// within is do with a time limit of its own.
func (s *server) within(ctx context.Context, limit time.Duration, method, path string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body == nil {
		req.Body, req.ContentLength, req.GetBody = nil, 0, nil
	} else {
		req.Header.Set("Content-Type", "application/json")
		if strings.HasPrefix(path, "/_bulk") {
			req.Header.Set("Content-Type", "application/x-ndjson")
		}
	}
	res, err := s.client.Stream(req)
	if err != nil {
		return fmt.Errorf("opensearch: %w", err)
	}
	answer, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return fmt.Errorf("opensearch: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return refusal(res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("opensearch answered what is no JSON: %w", err)
	}
	return nil
}

func refusal(status int, answer []byte) *refused {
	r := &refused{Status: status, Reason: http.StatusText(status)}
	var problem struct {
		Error struct {
			failure
			Shards []shardFailure `json:"failed_shards"`
		}
	}
	if json.Unmarshal(answer, &problem) == nil && problem.Error.Type != "" {
		r.Type, r.Reason, r.Shards = problem.Error.Type, problem.Error.String(), problem.Error.Shards
	}
	return r
}

// failure is how the server tells a cause.
type failure struct {
	Type   string   `json:"type"`
	Reason string   `json:"reason"`
	Cause  *failure `json:"caused_by"`
}

// String is the reason with its innermost cause, cut to what a log line bears. A reason may quote a value, so the quoting
// tail of one is left out.
func (f *failure) String() string {
	reason := f.Reason
	for c := f.Cause; c != nil; c = c.Cause {
		reason += ": " + c.Reason
	}
	if at := strings.Index(reason, "Preview of field's value"); at >= 0 {
		reason = strings.TrimRight(reason[:at], ". ")
	}
	if len(reason) > 500 {
		reason = strings.ToValidUTF8(reason[:500], "") + "…"
	}
	return reason
}

func isRefused(err error, types ...string) bool {
	var r *refused
	if !errors.As(err, &r) {
		return false
	}
	for _, t := range types {
		if r.Type == t {
			return true
		}
	}
	return false
}

// shardAnswer is the part of an answer that tells how many shards gave it.
type shardAnswer struct {
	Total  int `json:"total"`
	Failed int `json:"failed"`
}

func (a shardAnswer) check(what string) error {
	if a.Failed > 0 {
		return fmt.Errorf("%s: %d of %d shards did not answer", what, a.Failed, a.Total)
	}
	return nil
}
