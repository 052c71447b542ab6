package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/eventstore/sqlite"
	"auditlog/internal/canon"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/keyring"
	keyfile "auditlog/keyring/file"
	"auditlog/projection"
	"auditlog/projection/feed"
	"auditlog/projection/find"
	"auditlog/projection/forget"
	"auditlog/projection/readmodel"
	"auditlog/projection/search"
	"auditlog/projection/stats"
	"auditlog/query"
	"auditlog/transport/httpapi"
	"auditlog/transport/httpapi/auth"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// world is a whole service on a loopback port: the embedded store, keyring and projections, and the server under test.
type world struct {
	tb       testing.TB
	store    *sqlite.Store
	commands *command.Commands
	queries  *query.Queries
	server   *httpapi.Server
	registry *prometheus.Registry
	addr     string
	log      *logBuffer
	slog     *slog.Logger
	verifier auth.Verifier
	opener   entry.Opener
	rates    httpapi.Rates

	a, b eventstore.Tenant
}

// logBuffer keeps the log for tests that look for what must not be in it.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// noParking fails the test when an event is parked: nothing here is poison.
type noParking struct{ tb testing.TB }

func (p noParking) Park(_ context.Context, parked projection.Parked) error {
	p.tb.Errorf("parked: %+v", parked)
	return nil
}

func (noParking) Parked(context.Context, string) ([]projection.Parked, error) { return nil, nil }

func (noParking) Unpark(context.Context, projection.Parked) error { return nil }

func newWorld(tb testing.TB, cfg httpapi.Config) *world {
	tb.Helper()
	ctx, dir := context.Background(), tb.TempDir()
	w := &world{tb: tb, log: &logBuffer{}, registry: prometheus.NewRegistry()}
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.slog = log
	driver := must(keyfile.Open(dir + "/keys"))(tb)
	ring := keyring.New(driver, keyring.Options{})
	w.store = must(sqlite.Open(ctx, dir+"/events.db", sqlite.Options{}))(tb)
	opener := entry.Opener{Ring: ring}
	w.opener = opener
	deps := readmodel.Deps{Store: w.store, Opener: opener}
	index := must(search.Open(ctx, search.Config{Dir: dir, Store: w.store, Opener: opener, Log: log}))(tb)
	finder := must(find.Open(ctx, readmodel.Folder(dir), deps, log))(tb)
	forgetter := must(forget.Open(ctx, readmodel.Folder(dir), w.store, ring, log))(tb)
	rollups := must(stats.Open(ctx, readmodel.Folder(dir), deps, stats.StoreNames{Find: finder, Store: w.store, Opener: opener}, log))(tb)
	live := feed.New(w.store, opener, feed.Options{Log: log})

	runCtx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	run := func(name string, part func(context.Context) error) {
		parts.Go(func() {
			if err := part(runCtx); err != nil && runCtx.Err() == nil {
				tb.Errorf("%s ended: %v", name, err)
			}
		})
	}
	for _, p := range []projection.Projector{index, rollups, finder, forgetter} {
		r := projection.NewRunner(p, w.store, noParking{tb}, projection.RunnerOptions{Sweep: 20 * time.Millisecond, Settle: time.Millisecond, Log: log})
		run(p.Name(), r.Run)
	}
	run("feed", live.Run)
	run("janitor", forget.NewJanitor(w.store, w.store, ring, forget.JanitorOptions{Log: log}).Run)

	appender := command.NewAppender(w.store, w.store.Shards(), command.AppenderOptions{})
	w.commands = command.New(w.store, w.store, ring, appender, command.Options{})
	w.queries = query.New(w.store, opener, index, rollups, live, [32]byte{1}, query.Options{})
	w.verifier = must(auth.NewHS256(secret, "auditlog", nil))(tb)
	tb.Cleanup(func() {
		down, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		stop()
		parts.Wait()
		for _, closing := range []func() error{
			func() error { return appender.Close(down) }, rollups.Close, finder.Close, forgetter.Close, index.Close, w.store.Close, ring.Close,
		} {
			if err := closing(); err != nil {
				tb.Errorf("close: %v", err)
			}
		}
	})
	w.a, w.b = w.newTenant("tenant-a"), w.newTenant("tenant-b")
	w.over(w.commands, w.queries, cfg)
	return w
}

// over puts a new server before the given sides; the world's requests go to it from here on.
func (w *world) over(commands httpapi.Commands, queries httpapi.Queries, cfg httpapi.Config) {
	w.tb.Helper()
	w.registry = prometheus.NewRegistry()
	server := httpapi.New(httpapi.Deps{
		Commands: commands, Queries: queries, Tenants: w.store, Verifier: w.verifier, Log: w.slog, Metrics: w.registry, Rates: w.rates,
	}, cfg)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(w.tb)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	w.server, w.addr = server, listener.Addr().String()
	w.tb.Cleanup(func() {
		down, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(server.Shutdown(down), <-ended); err != nil {
			w.tb.Errorf("shutdown: %v", err)
		}
	})
}

// record appends an entry without HTTP.
func (w *world) record() command.Receipt {
	w.tb.Helper()
	doc := must(canon.Parse([]byte(goodEntry), canon.Limits{}))(w.tb)
	defer doc.Release()
	e, broken := command.ParseEntry(doc.Root(), "", command.Defaults{})
	if err := fault.Of(broken); err != nil {
		w.tb.Fatal(err)
	}
	return must(w.commands.Record(context.Background(), command.Caller{Tenant: w.a.ID, Sub: "svc", Roles: []string{"writer"}}, e))(w.tb)
}

// fullLanes is a write side whose lanes have no room.
type fullLanes struct{ httpapi.Commands }

func (fullLanes) Record(context.Context, command.Caller, *command.Entry) (command.Receipt, error) {
	return command.Receipt{}, fmt.Errorf("append: %w", &fault.Error{Kind: fault.Overloaded, Detail: "the lane is full", RetryAfter: 6500 * time.Millisecond})
}

// suspended is a write side whose tenants are all inactive.
type suspended struct{ httpapi.Commands }

func (suspended) Tenant(context.Context, eventstore.TenantID) (eventstore.Tenant, error) {
	return eventstore.Tenant{}, fault.New(fault.TenantInactive, "the tenant is not active")
}

// suspendLater is a write side whose tenants are suspended once now is set.
type suspendLater struct {
	httpapi.Commands
	now atomic.Bool
}

func (s *suspendLater) Tenant(ctx context.Context, id eventstore.TenantID) (eventstore.Tenant, error) {
	if s.now.Load() {
		return suspended{}.Tenant(ctx, id)
	}
	return s.Commands.Tenant(ctx, id)
}

// runningCleanup is a write side on which a cleanup before 2020 is always running; what it answers then is the command
// package's own promise.
type runningCleanup struct{ httpapi.Commands }

func (runningCleanup) Cleanup(_ context.Context, _ command.Caller, before time.Time, _ bool) (command.CleanupAnswer, error) {
	if before.Equal(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)) {
		return command.CleanupAnswer{ID: eventstore.EventID{1}, Status: eventstore.PurgeRunning}, nil
	}
	return command.CleanupAnswer{}, fmt.Errorf("order a cleanup: %w", fault.New(fault.Conflict, "another cleanup is running"))
}

// panicking is a write side with a defect.
type panicking struct{ httpapi.Commands }

func (panicking) Tenant(context.Context, eventstore.TenantID) (eventstore.Tenant, error) {
	panic("boom")
}

// failing is a write side that fails.
type failing struct {
	httpapi.Commands
	err error
}

func (f failing) Tenant(context.Context, eventstore.TenantID) (eventstore.Tenant, error) {
	return eventstore.Tenant{}, f.err
}

// goroutines is what all goroutines are doing.
func goroutines() string {
	stack := make([]byte, 1<<20)
	return string(stack[:runtime.Stack(stack, true)])
}

// must fails the test on an error: must(f())(tb).
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func (w *world) newTenant(slug string) eventstore.Tenant {
	w.tb.Helper()
	return must(w.commands.CreateTenant(context.Background(), command.Caller{Sub: "test"}, command.NewTenant{Slug: slug, Name: slug, RetentionDays: 396}))(w.tb)
}

// token is a good token for tenant A with the given roles; "export" among them is the right.
func (w *world) token(roles ...string) string { return w.tokenOf(w.a.ID.String(), roles...) }

func (w *world) tokenOf(tenant string, roles ...string) string {
	w.tb.Helper()
	g := auth.Grant{Issuer: "auditlog", Subject: "svc", Tenant: tenant, IssuedAt: time.Now(), TTL: time.Hour}
	for _, r := range roles {
		if r == auth.RightExport {
			g.Rights = append(g.Rights, r)
			continue
		}
		g.Roles = append(g.Roles, r)
	}
	return must(auth.Mint(secret, g))(w.tb)
}

// call is a request in short form.
type call struct {
	method, path string
	token        string // "": no Authorization header
	body         string
	header       http.Header
}

// reply is what came back.
type reply struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
	closed  bool // the connection is not kept
}

func (r reply) problem(tb testing.TB) (p struct {
	Type, Title, Detail, Instance string
	Status                        int
	Errors                        []struct{ Code, Pointer, Detail string }
}) {
	tb.Helper()
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		tb.Fatalf("status %d with %q is no problem document: %v", r.status, r.body, err)
	}
	return p
}

// slug is the problem's slug, or "" when the answer is none.
func (r reply) slug() string {
	if r.header.Get("Content-Type") != "application/problem+json" {
		return ""
	}
	var p struct{ Type string }
	if json.Unmarshal([]byte(r.body), &p) != nil {
		return "no JSON"
	}
	return strings.TrimPrefix(p.Type, "/problems/")
}

func (w *world) do(c call) reply {
	w.tb.Helper()
	// Bounded, so that an answer which should have been a refusal and is a stream fails the test rather than hang it.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req := must(http.NewRequestWithContext(ctx, c.method, "http://"+w.addr+c.path, strings.NewReader(c.body)))(w.tb)
	if c.body == "" {
		req.Body = http.NoBody
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for name, values := range c.header {
		req.Header[name] = values
		if name == "Content-Type" && len(values) == 0 {
			delete(req.Header, name)
		}
	}
	res := must(http.DefaultTransport.RoundTrip(req))(w.tb)
	defer func() { _ = res.Body.Close() }()
	body := must(io.ReadAll(res.Body))(w.tb)
	return reply{status: res.StatusCode, header: res.Header, trailer: res.Trailer, body: string(body), closed: res.Close}
}

// post records an entry and gives its JSON.
func (w *world) post(body string) map[string]any {
	w.tb.Helper()
	got := w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: body})
	if got.status != http.StatusCreated {
		w.tb.Fatalf("post: %d %s", got.status, got.body)
	}
	return object(w.tb, got.body)
}

func object(tb testing.TB, text string) (o map[string]any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		tb.Fatalf("%q: %v", text, err)
	}
	return o
}

// head is the tenant's newest position.
func (w *world) head(t eventstore.Tenant) eventstore.Position {
	w.tb.Helper()
	return must(w.store.Head(context.Background(), t.ID))(w.tb).Position
}

// eventually polls until ok, for what projections do in their own time.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			tb.Fatalf("%s: not within 10 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

const goodEntry = `{"action":"document.shared","actor":{"id":"ana"},"resource":{"type":"document","id":"42"},"message":"shared the budget","metadata":{"with":"ben","n":7}}`
