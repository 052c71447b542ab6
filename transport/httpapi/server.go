package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/labstack/echo/v4"
)

// Server is the public side of the service. Make it with New.
type Server struct {
	deps     Deps
	cfg      Config
	echo     *echo.Echo
	http     *http.Server
	table    []route
	allow    allowed
	known    map[string]bool // paths of Echo's routes, for labels
	openapi  []byte
	tickets  *tickets
	streams  *streams
	exports  exportSlots
	rates    Rates
	slots    slots
	metrics  *metrics
	draining atomic.Bool
}

// New makes a server; it panics when Config.Validate complains, since its caller checks configuration before.
func New(deps Deps, cfg Config) *Server {
	if err := cfg.Validate(); err != nil {
		panic("httpapi: " + err.Error())
	}
	cfg = cfg.withDefaults()
	s := &Server{
		deps: deps, cfg: cfg, table: routes(cfg), tickets: newTickets(cfg.Stream.TicketLife, cfg.Now),
		streams: newStreams(cfg.Stream), rates: deps.Rates, slots: newSlots(cfg.InFlight),
	}
	s.metrics = newMetrics(deps.Metrics, s.slots)
	s.openapi = describe(s.table, cfg.Version)
	s.echo = s.newEcho()
	s.http = &http.Server{
		Handler: s.echo, ReadHeaderTimeout: cfg.HeaderTimeout, WriteTimeout: cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout,
		MaxHeaderBytes: readHeaderBytes, ConnContext: withConn,
		ErrorLog: slog.NewLogLogger(deps.Log.Handler(), slog.LevelDebug), // broken handshakes and the like: the clients' doing
	}
	return s
}

// readHeaderBytes is what net/http reads of a head before it gives up by itself (it adds 4 KiB); see guard.
const readHeaderBytes = 76 << 10

func (s *Server) newEcho() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(discard{})
	e.HTTPErrorHandler = func(error, echo.Context) {} // observe answers errors itself
	e.Pre(s.observe)
	for i := range s.table {
		rt := &s.table[i]
		e.Add(rt.method, rt.path, s.serve(rt))
		if rt.hasHead() {
			e.HEAD(rt.path, s.serve(rt))
		}
	}
	s.addPages(e)
	s.allow = newAllowed(e.Routes())
	s.known = map[string]bool{}
	for _, r := range e.Routes() {
		s.known[r.Path] = true
	}
	return e
}

// discard drops Echo's own log: slog has ours.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Handler is the whole server without a listener, for tests and for embedding.
func (s *Server) Handler() http.Handler { return s.echo }

// Serve answers requests from l until Shutdown; then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// Drain stops taking new work: from here on requests are answered 503 with Connection: close, and streams are closed with
// the position to resume from. Requests that were accepted go on. Calling it twice is harmless.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.streams.closeAll()
}

// Shutdown drains and waits until accepted requests and streams have ended, or ctx has; past that, connections are cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	err := s.http.Shutdown(ctx)
	if streamErr := s.streams.wait(ctx); err == nil {
		err = streamErr
	}
	if err != nil {
		_ = s.http.Close() // the error that matters is the deadline's
		return fmt.Errorf("drain requests: %w", err)
	}
	return nil
}
