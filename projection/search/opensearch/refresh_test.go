package opensearch_test

import (
	"net/http"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/searchtest"
)

// Workers that apply all the time refresh the index as often as one would: each refresh makes a file of what came since.
func TestWorkersShareRefreshes(t *testing.T) {
	t.Parallel()
	const batches = 40
	log := searchtest.NewLog(t)
	cfg := config(t, ostest.Address(t), log)
	cfg.Refresh = 300 * time.Millisecond
	connect := shared(t)
	w := &world{T: t, log: log, cfg: cfg}
	var workers []*opensearch.Index
	for range 3 {
		cfg.State = connect()
		workers = append(workers, open(t, cfg))
	}
	refreshed := func() int {
		var answer struct {
			All struct {
				Primaries struct {
					Refresh struct {
						Total int `json:"external_total"`
					} `json:"refresh"`
				} `json:"primaries"`
			} `json:"_all"`
		}
		ask(t, http.MethodGet, "/"+cfg.Prefix+"-g*/_stats/refresh", "", &answer)
		return answer.All.Primaries.Refresh.Total
	}
	for range batches {
		w.add(tenant)
	}
	var before int
	var began time.Time
	for i := range eventstore.Offset(batches) {
		if i == 5 { // the index is there, and its own first refreshes are over
			before, began = refreshed(), time.Now()
		}
		if err := workers[int(i)%len(workers)].Apply(t.Context(), log.Envelope(i, i+1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Millisecond) // spreads what is applied over several intervals; nothing waits for it
	}
	for _, x := range workers {
		w.x = x
		w.expect(batches)
	}
	n := refreshed() - before
	if most := 2 + int(time.Since(began)/cfg.Refresh); n < 2 || n > most {
		t.Errorf("%d refreshes, want 2 to %d", n, most)
	}
}
