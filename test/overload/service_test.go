package overload

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"auditlog/internal/pgdb"
	"auditlog/test/stack"
)

// memoryLimit is the GOMEMLIMIT that quality asks for.
const memoryLimit = 512 << 20

// service is a process for requests on a core of its own, far from its database.
type service struct {
	*stack.Node
	t    *testing.T
	wire *toxiproxy.Proxy // to its database
}

// tenant is one of the clients' side.
type tenant struct {
	ID              string
	writer, auditor string // tokens
	shard           int
}

// tenants are those of the test.
type tenants struct {
	busy   [2]tenant
	capped tenant // has a rate of its own, which it passes
	quiet  tenant // on the shard of the first busy one
}

func (x *tenants) all() []tenant { return []tenant{x.busy[0], x.busy[1], x.capped, x.quiet} }

// newService makes databases and tenants, starts the process, and only then puts the distance between the two.
func newService(t *testing.T, f form, c cores) (*service, tenants) {
	t.Helper()
	w := stack.New(t, binary, stack.Servers{
		Postgres: need(t, "AUDITLOG_TEST_POSTGRES"), Keys: need(t, "AUDITLOG_TEST_POSTGRES"),
		SQS: need(t, "AWS_ENDPOINT_URL_SQS"), Search: need(t, "AUDITLOG_TEST_OPENSEARCH"),
	})
	first := w.API()
	admin := strings.TrimSpace(w.Do("token", "--roles", "admin"))
	var of tenants
	of.busy[0] = newTenant(t, w, first, admin, "busy", -1)
	of.busy[1] = newTenant(t, w, first, admin, "also-busy", -1)
	of.capped = newTenant(t, w, first, admin, "capped", -1)
	of.quiet = newTenant(t, w, first, admin, "quiet", of.busy[0].shard)
	first.Kill()

	server, err := url.Parse(w.Settings["AUDITLOG_STORE"])
	fatal(t, err)
	proxies := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	wire := toxiproxy.NewProxy(proxies, "service to PostgreSQL", "127.0.0.1:0", server.Host)
	fatal(t, wire.Start())
	t.Cleanup(wire.Stop)
	changes := map[string]string{
		"GOMEMLIMIT":               strconv.Itoa(memoryLimit),
		"AUDITLOG_INFLIGHT_WRITES": strconv.Itoa(f.slots),
		"AUDITLOG_LIMIT_TENANTS":   fmt.Sprintf("%s=%d/%d", of.capped.ID, f.capped, f.capped*bulkSize),
	}
	for _, setting := range []string{"AUDITLOG_STORE", "AUDITLOG_LIFECYCLE"} { // the keys lie near, as they may
		changes[setting] = strings.Replace(w.Settings[setting], server.Host, wire.Listen, 1)
	}
	s := &service{t: t, wire: wire}
	c.onServiceCore(t, func() { s.Node = w.Start(changes, "api") })
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(`{"type":"latency","stream":%q,"attributes":{"latency":%d}}`, stream, f.distance.Milliseconds())
		_, err := wire.Toxics.AddToxicJson(strings.NewReader(toxic))
		fatal(t, err)
	}
	return s, of
}

// comeNear takes the distance away.
func (s *service) comeNear() { s.wire.Toxics.ResetToxics(s.t.Context()) }

// newTenant makes a tenant on a shard, any for -1: the store chooses, so others may come before it.
func newTenant(t *testing.T, w *stack.World, api *stack.Node, admin, slug string, shard int) (of tenant) {
	t.Helper()
	conn, err := pgdb.Connect(t.Context(), w.Owner, pgdb.Options{})
	fatal(t, err)
	defer conn.Close(t.Context())
	for try := 0; ; try++ {
		body := fmt.Sprintf(`{"slug":"%s-%d","name":%q}`, slug, try, slug)
		answer, status, err := stack.Call(api.URL, admin, http.MethodPost, "/api/v1/tenants", body)
		if err != nil || status != http.StatusCreated {
			t.Fatalf("creating a tenant answers %d %s, %v", status, answer, err)
		}
		fatal(t, json.Unmarshal(answer, &of))
		fatal(t, conn.QueryRow(t.Context(), `SELECT shard FROM auditlog.tenants WHERE id = $1`, of.ID).Scan(&of.shard))
		if shard < 0 || of.shard == shard {
			break
		}
	}
	token := func(role string) string {
		return strings.TrimSpace(w.Do("token", "--ttl", "12h", "--rights", "export", "--roles", role, "--tenant", of.ID))
	}
	of.writer, of.auditor = token("writer"), token("auditor")
	return of
}

// resident is the service's memory in bytes, as it tells of it itself.
func (s *service) resident() (bytes int64, err error) {
	metrics, _, err := stack.Call(s.Ops, "", http.MethodGet, "/metrics", "")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(metrics)) {
		if value, found := strings.CutPrefix(line, "process_resident_memory_bytes "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int64(n), err
		}
	}
	return 0, errors.New("the metrics do not tell the resident memory")
}

// watch looks at the memory until the function that it gives is called, which gives what was seen.
func (s *service) watch(every time.Duration) (seen func() []int64) {
	stop, all := make(chan struct{}), make(chan []int64)
	go func() {
		var sizes []int64
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				all <- sizes
				return
			case <-tick.C:
				size, err := s.resident()
				if err != nil {
					s.t.Error(err)
				}
				sizes = append(sizes, size)
			}
		}
	}()
	return func() []int64 {
		close(stop)
		return <-all
	}
}

// replayed is an entry as a replay shows it.
type replayed struct {
	position int64
	id, key  string
}

// replay reads the whole log of a tenant, in its order.
func (s *service) replay(of tenant, each func(replayed)) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+"/api/v1/replay", nil)
	fatal(s.t, err)
	req.Header.Set("Authorization", "Bearer "+of.auditor)
	resp, err := http.DefaultClient.Do(req)
	fatal(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	lines := json.NewDecoder(resp.Body)
	for want := int64(1); ; want++ {
		var l struct {
			Position        int64
			Public, Private string
			End             bool
		}
		if err := lines.Decode(&l); err != nil {
			s.t.Fatalf("the replay (status %d) ends before position %d: %v", resp.StatusCode, want, err)
		}
		if l.End {
			return
		}
		if l.Position != want {
			s.t.Fatalf("position %d came where %d is due", l.Position, want)
		}
		var public struct{ ID, Type string }
		fatal(s.t, json.Unmarshal([]byte(l.Public), &public))
		if public.Type != "entry.recorded" {
			continue
		}
		var private struct{ Message string }
		fatal(s.t, json.Unmarshal([]byte(l.Private), &private))
		key, _, _ := strings.Cut(private.Message, " ")
		each(replayed{l.Position, public.ID, key})
	}
}

// need is a server that the environment names.
func need(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s names no server; make test and make proof start one", name)
	}
	return value
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
