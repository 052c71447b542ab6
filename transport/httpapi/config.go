package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/query"
	"auditlog/transport/httpapi/auth"
)

// Tenants is what the transport itself asks of the event store.
type Tenants interface {
	// Tenants is a page of all tenants in order of creation, above after.
	Tenants(ctx context.Context, after eventstore.TenantID, limit int) ([]eventstore.Tenant, error)
}

// Commands is the write side; *command.Commands keeps it.
type Commands interface {
	Record(ctx context.Context, c command.Caller, e *command.Entry) (command.Receipt, error)
	Bulk(ctx context.Context, c command.Caller, items []command.BulkItem, atomic bool) ([]command.BulkResult, error)
	// Place is a bulk's place in a sequence; BulkInSequence records it there.
	Place(tenant eventstore.TenantID, id command.SequenceID, n int) *command.Place
	BulkInSequence(ctx context.Context, c command.Caller, items []command.BulkItem, place *command.Place) ([]command.BulkResult, error)
	Amend(ctx context.Context, c command.Caller, id eventstore.EventID, a command.Amendment) (entry.Entry, error)
	Erase(ctx context.Context, c command.Caller, id eventstore.EventID, reason string) (eventstore.EventID, error)
	Cleanup(ctx context.Context, c command.Caller, before time.Time, dryRun bool) (command.CleanupAnswer, error)
	CleanupJob(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (command.CleanupJob, error)
	CreateTenant(ctx context.Context, c command.Caller, t command.NewTenant) (eventstore.Tenant, error)
	// Tenant is an active tenant, looked up from a cache; NotFound or TenantInactive otherwise.
	Tenant(ctx context.Context, id eventstore.TenantID) (eventstore.Tenant, error)
}

// Queries is the read side; *query.Queries keeps it.
type Queries interface {
	Search(ctx context.Context, r query.Reader, req query.SearchRequest) (query.SearchPage, error)
	Get(ctx context.Context, r query.Reader, id eventstore.EventID) (entry.Entry, error)
	History(ctx context.Context, r query.Reader, id eventstore.EventID) ([]query.HistoryItem, error)
	Export(ctx context.Context, r query.Reader, req query.ExportRequest, sink query.ExportSink) (query.ExportResult, error)
	Stats(ctx context.Context, r query.Reader, req query.StatsRequest) (query.StatsAnswer, error)
	Stream(ctx context.Context, r query.Reader, after *eventstore.Position, c criteria.Criteria) (*query.Stream, error)
	Replay(ctx context.Context, tenant eventstore.TenantID, after eventstore.Position, w io.Writer) (count int, next eventstore.Position, err error)
}

// Deps is what the server hands requests to. All but Rates and Metrics are required.
type Deps struct {
	Commands Commands
	Queries  Queries
	Tenants  Tenants
	Verifier auth.Verifier
	Log      *slog.Logger
	Rates    Rates                 // those that are nil do not limit
	Metrics  prometheus.Registerer // nil: none are kept
}

// Config tunes a Server. The zero value is the recommended one.
type Config struct {
	// Origins are the pages besides the server's own that may open a stream from a browser: scheme://host[:port], exactly.
	Origins []string
	// BenchNull adds POST /api/v1/bench/null, which does all that a POST of an entry does but store it. Default false.
	BenchNull bool
	// Version is shown in the OpenAPI document. Default "dev".
	Version string

	// HeaderTimeout bounds reading a request's head. Default 5 s.
	HeaderTimeout time.Duration
	// BodyTimeout bounds reading a body. Default 15 s; a bulk has BulkTimeout, default 30 s.
	BodyTimeout, BulkTimeout time.Duration
	// WriteTimeout bounds writing an answer, behind HandlerTimeout; for exports and replays each write. Default 30 s.
	WriteTimeout time.Duration
	// IdleTimeout bounds the wait for the next request on a connection. Default 60 s.
	IdleTimeout time.Duration
	// HandlerTimeout bounds the work on a request from when its body is there, beside what it asks to wait for. Default 10 s.
	HandlerTimeout time.Duration

	// InFlight bounds what is in hand at once.
	InFlight InFlight
	// TrustedProxies may say by X-Forwarded-For whom they speak for. Default: nobody may.
	TrustedProxies []netip.Prefix

	// Stream bounds live streams.
	Stream StreamConfig

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// StreamConfig bounds live streams. The zero value is the recommended one.
type StreamConfig struct {
	Heartbeat    time.Duration // between heartbeats. Default 15 s
	Ping         time.Duration // between WebSocket pings. Default 30 s
	Pong         time.Duration // wait for an answer to a ping. Default 10 s
	WriteTimeout time.Duration // one message, beyond which the client has fallen behind; twice that resets. Default 5 s
	Recheck      time.Duration // between looks at the credential and the tenant. Default 60 s
	TicketLife   time.Duration // of a one-time ticket. Default 30 s
	PerUser      int           // streams at once of one subject. Default 10
	PerTenant    int           // Default 100
	PerProcess   int           // Default 1,000
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c Config) withDefaults() Config {
	orDefault(&c.Version, "dev")
	orDefault(&c.HeaderTimeout, 5*time.Second)
	orDefault(&c.BodyTimeout, 15*time.Second)
	orDefault(&c.BulkTimeout, 30*time.Second)
	orDefault(&c.WriteTimeout, 30*time.Second)
	orDefault(&c.IdleTimeout, 60*time.Second)
	orDefault(&c.HandlerTimeout, 10*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	orDefault(&c.InFlight.Writes, 512)
	orDefault(&c.InFlight.Reads, 128)
	orDefault(&c.InFlight.Bodies, 64<<20)
	s := &c.Stream
	orDefault(&s.Heartbeat, 15*time.Second)
	orDefault(&s.Ping, 30*time.Second)
	orDefault(&s.Pong, 10*time.Second)
	orDefault(&s.WriteTimeout, 5*time.Second)
	orDefault(&s.Recheck, 60*time.Second)
	orDefault(&s.TicketLife, 30*time.Second)
	orDefault(&s.PerUser, 10)
	orDefault(&s.PerTenant, 100)
	orDefault(&s.PerProcess, 1000)
	return c
}

// Validate names every field that cannot work.
func (c Config) Validate() error {
	var all []error
	for name, d := range map[string]time.Duration{
		"HeaderTimeout": c.HeaderTimeout, "BodyTimeout": c.BodyTimeout, "BulkTimeout": c.BulkTimeout, "WriteTimeout": c.WriteTimeout,
		"IdleTimeout": c.IdleTimeout, "HandlerTimeout": c.HandlerTimeout, "Stream.Heartbeat": c.Stream.Heartbeat, "Stream.Ping": c.Stream.Ping,
		"Stream.Pong": c.Stream.Pong, "Stream.WriteTimeout": c.Stream.WriteTimeout, "Stream.Recheck": c.Stream.Recheck, "Stream.TicketLife": c.Stream.TicketLife,
	} {
		if d < 0 {
			all = append(all, fmt.Errorf("%s is negative", name))
		}
	}
	for name, n := range map[string]int{"Stream.PerUser": c.Stream.PerUser, "Stream.PerTenant": c.Stream.PerTenant, "Stream.PerProcess": c.Stream.PerProcess} {
		if n < 0 {
			all = append(all, fmt.Errorf("%s is negative", name))
		}
	}
	for _, origin := range c.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host {
			all = append(all, fmt.Errorf("origin %q is not scheme://host[:port]", origin))
		}
	}
	return errors.Join(all...)
}
