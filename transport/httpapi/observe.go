package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"

	"auditlog/command"
	"auditlog/internal/fault"
)

// observe surrounds every request, also those that no route takes: it gives it an id, answers its error, keeps panics
// from others, and writes the access log and the metrics. Query strings and credentials are never logged.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		w := c.Response()
		id := clientRequestID(c.Request().Header)
		if id == "" {
			id = newRequestID()
		}
		h := w.Header()
		h["X-Request-Id"] = []string{id}
		securityHeaders(h)
		if c.Request().ContentLength != 0 {
			readBy(w, s.cfg.BodyTimeout)
		}
		aborted := false
		if err := s.guarded(c, next); err != nil {
			aborted = s.answerError(c, id, err)
		}
		s.log(c, id, start, aborted)
		if aborted {
			reset(connOf(c.Request().Context()))
			panic(http.ErrAbortHandler) // the one way to cut a connection so that no client takes the answer for whole
		}
		return nil
	}
}

// guarded turns a panic into an Internal error, turns requests away once the server drains, and answers what no route takes.
func (s *Server) guarded(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &fault.Error{Kind: fault.Internal, Cause: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	if s.draining.Load() {
		c.Response().Header().Set("Connection", "close")
		return fault.New(fault.Unavailable, "this instance is shutting down")
	}
	if err := guard(c.Request().Header); err != nil {
		return err
	}
	switch c.Request().Method {
	case http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return s.unrouted(c)
	}
	return next(c)
}

// untold tells errors of the service, not of the request, whose cause the client is not told. What is shed under load has none.
func untold(f *fault.Error) bool {
	return (f.Kind == fault.Unavailable || f.Kind == fault.Overloaded) && f.Cause != nil && f.Cause != command.ErrWaited //nolint:errorlint // it alone
}

// answerError answers with a problem. When an answer has begun already it can only be cut: aborted is true then.
func (s *Server) answerError(c echo.Context, id string, err error) (aborted bool) {
	f := faultOf(err)
	level, what := slog.LevelDebug, "request failed"
	switch {
	case c.Request().Context().Err() != nil: // whatever failed then: nobody is there to be answered
		level, what = slog.LevelInfo, "the client is gone"
	case f.Kind == fault.Internal:
		level = slog.LevelError
	case untold(f):
		level = slog.LevelWarn
	}
	s.deps.Log.LogAttrs(c.Request().Context(), level, what,
		slog.String("request_id", id), slog.String("problem", f.Kind.String()), slog.Any("error", err))
	s.metrics.refuse(err)
	w := c.Response()
	if w.Committed {
		return true
	}
	if f.Kind == fault.Method {
		w.Header()["Allow"] = []string{s.allow.of(echo.GetPath(c.Request()))} // the router's own list knows nothing of ids that are names
	}
	writeBy(w, s.cfg.WriteTimeout)
	writeProblem(w, id, err)
	return false
}

func (s *Server) log(c echo.Context, id string, start time.Time, aborted bool) {
	w, r := c.Response(), c.Request()
	path, size := c.Path(), w.Size
	if r.Method == http.MethodHead {
		size = 0 // net/http drops what was written
	}
	if !s.known[path] {
		path = "unknown"
	}
	took := time.Since(start)
	s.metrics.observe(r.Method, path, w.Status, took.Seconds())
	ctx := r.Context()
	if !s.deps.Log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	s.deps.Log.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("method", method(r.Method)), slog.String("route", path), slog.Int("status", w.Status),
		slog.Duration("duration", took), slog.Int64("bytes", size), slog.Bool("cut", aborted), slog.String("request_id", id),
		slog.String("client", s.client(r).String()))
}

// method is the request's method, or "other": it is the client's text.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut, http.MethodHead, http.MethodOptions:
		return m
	}
	return "other"
}

// Bounds of a request's head.
const (
	maxHeaderBytes = 16 << 10
	maxHeaders     = 100
)

// guard refuses heads that net/http let pass.
func guard(h http.Header) error {
	size, count := 0, 0
	for name, values := range h {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
			count++
		}
	}
	if size > maxHeaderBytes || count > maxHeaders {
		return fault.Newf(fault.HeadersTooLarge, "headers have at most %d bytes and %d lines", maxHeaderBytes, maxHeaders)
	}
	return nil
}
