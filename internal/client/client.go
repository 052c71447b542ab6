// Package client speaks the service's HTTP contract for the command line: with a bearer token, and with patience.
//
// A request that met a full or starting server (429, 503), a broken connection, or an upstream that is not there (502,
// 504) is sent again after the time that the server asked for, else after a growing pause, until Patience is used up.
// Only what is safe to send twice may be sent through it: reads, and writes whose entries carry idempotency keys.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client is safe for concurrent use.
type Client struct {
	base   string
	token  string
	tenant string
	http   *http.Client
	o      Options
}

// Options of a Client. Zero values take the defaults.
type Options struct {
	Tenant   string             // X-Tenant-ID, for a platform admin
	Patience time.Duration      // how long one request is tried; default 2 min, < 0: once
	Backoff  time.Duration      // first pause, doubled up to 10 s; default 200 ms
	OnRetry  func(reason error) // before each pause; nil: silent
	HTTP     *http.Client       // default: one with a pool of its own and no overall time limit
}

// New makes a client of the server at base, e.g. "http://127.0.0.1:8080". Errors name the setting.
func New(base, token string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("AUDITLOG_URL (--url) must be like http://127.0.0.1:8080")
	}
	if token == "" {
		return nil, fmt.Errorf("AUDITLOG_TOKEN (--token) is not set; auditlog token makes one for development")
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Backoff <= 0 {
		o.Backoff = 200 * time.Millisecond
	}
	if o.OnRetry == nil {
		o.OnRetry = func(error) {}
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, Proxy: http.ProxyFromEnvironment,
			MaxIdleConnsPerHost: 8, ResponseHeaderTimeout: 60 * time.Second, DisableCompression: true,
		}}
	}
	return &Client{base: strings.TrimRight(base, "/"), token: token, tenant: o.Tenant, http: o.HTTP, o: o}, nil
}

// Request is what Do sends.
type Request struct {
	Method      string
	Path        string // with its query
	ContentType string
	Accept      string
	Body        []byte

	sequence string // Bulk-Sequence
}

// Do sends a request until it gets an answer that is final. An answer of 400 and above becomes a *Problem.
func (c *Client) Do(ctx context.Context, r Request) (resp *http.Response, err error) {
	err = c.patiently(ctx, func() error {
		resp, err = c.once(ctx, r) //nolint:bodyclose // the caller's to close
		return err
	})
	return resp, err
}

// patiently calls f until it succeeds, fails for good, or patience is used up.
func (c *Client) patiently(ctx context.Context, f func() error) error {
	deadline := time.Now().Add(c.o.Patience)
	for pause := c.o.Backoff; ; pause = min(2*pause, 10*time.Second) {
		err := f()
		if err == nil || ctx.Err() != nil || !transient(err) {
			return err
		}
		wait := pause/2 + rand.N(pause/2+1)
		var p *Problem
		if errors.As(err, &p) && p.RetryAfter > 0 {
			wait = p.RetryAfter
		}
		if time.Now().Add(wait).After(deadline) {
			return err
		}
		c.o.OnRetry(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (c *Client) once(ctx context.Context, r Request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, c.base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("AUDITLOG_URL (--url): %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	for name, value := range map[string]string{"Content-Type": r.ContentType, "Accept": r.Accept, "X-Tenant-ID": c.tenant, "Bulk-Sequence": r.sequence} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &connectionError{base: c.base, cause: err}
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	return nil, problemOf(resp)
}

// connectionError is what a client sees of a server that is not there.
type connectionError struct {
	base  string
	cause error
}

func (e *connectionError) Error() string {
	var op *net.OpError
	if errors.As(e.cause, &op) && op.Op == "dial" {
		return fmt.Sprintf("no server answers at %s (AUDITLOG_URL): %v", e.base, op.Err)
	}
	return fmt.Sprintf("the connection to %s broke: %v", e.base, e.cause)
}

func (e *connectionError) Unwrap() error { return e.cause }

func transient(err error) bool {
	var broken *connectionError
	if errors.As(err, &broken) {
		return true
	}
	var p *Problem
	return errors.As(err, &p) && p.Transient()
}

// Problem is a problem document (RFC 9457).
type Problem struct {
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail"`
	Errors []Field `json:"errors"`

	RetryAfter time.Duration `json:"-"`
}

// Field is one broken rule of a Problem.
type Field struct {
	Code    string `json:"code"`
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// Transient tells whether the same request may succeed later.
func (p *Problem) Transient() bool {
	switch p.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return p.Slug() == "in-flight"
}

// Slug is the problem's short name, e.g. "forbidden".
func (p *Problem) Slug() string { return strings.TrimPrefix(p.Type, "/problems/") }

func (p *Problem) Error() string {
	s := fmt.Sprintf("the server answered %d %s", p.Status, p.Slug())
	if p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden {
		s += " (AUDITLOG_TOKEN)"
	}
	return s + ": " + p.Reason()
}

// Reason tells what was wrong, with the places of broken rules.
func (p *Problem) Reason() string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	parts := make([]string, len(p.Errors))
	for i, f := range p.Errors {
		parts[i] = strings.TrimSpace(f.Pointer + " " + f.Detail)
	}
	return strings.Join(parts, "; ")
}

const maxProblem = 1 << 20

func problemOf(resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem)) // what there is of it will do
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Type == "" {
		p = &Problem{Type: "/problems/" + strings.ToLower(http.StatusText(resp.StatusCode)), Detail: "without a problem document"}
	}
	p.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 && s <= 3600 {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	return p
}
