package opensearch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/searchtest"
	"auditlog/query"
)

// ask sends a request to the real server.
func ask(t *testing.T, method, path, body string, out any) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, ostest.Address(t)+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, b)
		}
	}
	return res.StatusCode, string(bytes.TrimSpace(b))
}

// aliased are the indices that readers ask, less their prefix.
func aliased(t *testing.T, prefix string) []string {
	t.Helper()
	var answer map[string]json.RawMessage
	ask(t, http.MethodGet, "/_alias/"+prefix, "", &answer)
	var out []string
	for name := range maps.Keys(answer) {
		out = append(out, strings.TrimPrefix(name, prefix+"-"))
	}
	slices.Sort(out)
	return out
}

func TestIndicesByClassAndMonth(t *testing.T) {
	t.Parallel()
	log := searchtest.NewLog(t)
	cfg := config(t, ostest.Address(t), log)
	own := searchtest.Tenant(3)
	classes := map[eventstore.TenantID]opensearch.Placement{searchtest.Tenant(1): {Class: "90d"}, searchtest.Tenant(2): {}, own: {Class: "90d", Own: true}}
	cfg.Place = func(_ context.Context, tenant eventstore.TenantID) (opensearch.Placement, error) {
		return classes[tenant], nil
	}
	w := &world{T: t, log: log, cfg: cfg, x: open(t, cfg)}
	const month = eventstore.Micros(31 * 24 * 3600_000000)
	var entries []eventstore.Event
	for range 2 {
		for tenant := range classes {
			entries = append(entries, log.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "first"}))
		}
		log.Advance(month)
	}
	for _, e := range entries { // an amendment goes to its entry's month
		log.Amend(e, format.Private{Message: "second"})
	}
	w.apply()
	classes[tenant] = opensearch.Placement{Class: "7y"} // for the next generation only
	log.Record(tenant, format.Public{Action: "READ"}, format.Private{})
	w.apply()
	w.await()
	alone := "g1-t" + own.String()
	want := []string{"g1-90d-2024.03", "g1-90d-2024.04", "g1-90d-2024.05", "g1-all-2024.03", "g1-all-2024.04", alone + "-2024.03", alone + "-2024.04"}
	if got := aliased(t, cfg.Prefix); !slices.Equal(got, want) {
		t.Errorf("indices %q, want %q", got, want)
	}
	for tenant, n := range map[eventstore.TenantID]int{searchtest.Tenant(1): 3, searchtest.Tenant(2): 2, own: 2} {
		if keys, err := w.x.Find(t.Context(), query.IndexQuery{Tenant: tenant, Limit: 10}); err != nil || len(keys) != n {
			t.Errorf("tenant %s: %v, %v; want %d", tenant, keys, err, n)
		}
	}
}

func TestMappingIsStrictAndRoutingRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	w.apply()
	index := "/" + w.cfg.Prefix + "-g1-all-2024.03/_doc/x"
	if status, text := ask(t, http.MethodPut, index+"?routing=a", `{"surprise":1}`, nil); status != 400 || !strings.Contains(text, "strict_dynamic_mapping") {
		t.Errorf("unknown field: %d %s", status, text)
	}
	if status, text := ask(t, http.MethodPut, index, `{"position":1}`, nil); status != 400 || !strings.Contains(text, "routing_missing") {
		t.Errorf("no routing: %d %s", status, text)
	}
}

// An index answers a refresh before it merges what that made: whoever waits for an entry waits for refreshes.
func TestRefreshesDoNotWaitForMerges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	w.apply()
	var indices map[string]struct{ Settings map[string]any }
	ask(t, http.MethodGet, "/"+w.cfg.Prefix+"-g1-*/_settings?flat_settings=true", "", &indices)
	if len(indices) != 1 {
		t.Fatalf("%d indices", len(indices))
	}
	for name, i := range indices {
		if i.Settings["index.merge_on_flush.enabled"] != "false" || i.Settings["index.refresh_interval"] != "-1" {
			t.Errorf("%s has settings %v", name, i.Settings)
		}
	}
}

func TestLongTermsAndOddPathsStayApart(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 20_000)
	w := newWorld(t, 0, nil)
	for _, private := range []format.Private{
		{Actor: format.Actor{ID: long + "a"}}, {Actor: format.Actor{ID: long + "b"}},
		{Metadata: []byte(`{"a":"b=c"}`)}, {Metadata: []byte(`{"a=b":"c"}`)}, {Metadata: []byte(`{"a\\":"c"}`)},
	} {
		w.log.Record(tenant, format.Public{Action: "READ"}, private)
	}
	w.apply()
	w.await()
	for want, c := range map[eventstore.Position]query.IndexQuery{
		1: {Criteria: actor(long + "a")}, 2: {Criteria: actor(long + "b")},
		3: {Criteria: metadata("a", "b=c")}, 4: {Criteria: metadata("a=b", "c")}, 5: {Criteria: metadata(`a\`, "c")},
	} {
		c.Tenant, c.Limit = tenant, 10
		keys, err := w.x.Find(t.Context(), c)
		if err != nil || len(keys) != 1 || keys[0].Position != want {
			t.Errorf("entry %d: found %v, %v", want, keys, err)
		}
	}
}

func actor(id string) criteria.Criteria { return criteria.Criteria{ActorID: id} }

func metadata(path, value string) criteria.Criteria {
	return criteria.Criteria{Metadata: []criteria.Metadata{{Path: path, Value: value}}}
}
