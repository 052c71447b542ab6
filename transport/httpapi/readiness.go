package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// checkTime bounds all checks of one look at the dependencies.
const checkTime = 2 * time.Second

// lookAge is how long a look is good for. Several probers ask every few seconds each, and a look costs requests that a
// queue service bills.
const lookAge = 2 * time.Second

// readiness answers /readyz. Whoever asks while a look is under way waits for that one.
type readiness struct {
	OpsDeps
	turn  chan struct{} // holds one: the right to use the fields below
	taken time.Time     // when the last look ended
	last  map[string]string
}

func newReadiness(d OpsDeps) *readiness {
	return &readiness{OpsDeps: d, turn: make(chan struct{}, 1)}
}

// readinessView is the answer of /readyz.
type readinessView struct {
	Status       string            `json:"status"` // "ready", "unready" or "draining"
	Dependencies map[string]string `json:"dependencies"`
}

func (d *readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dependencies, err := d.look(r.Context())
	if err != nil {
		return // nobody waits for the answer any more
	}
	answer, status := readinessView{Status: "ready", Dependencies: dependencies}, http.StatusOK
	for _, name := range d.Required {
		if dependencies[name] != "ok" {
			answer.Status, status = "unready", http.StatusServiceUnavailable
		}
	}
	if d.Draining != nil && d.Draining() {
		answer.Status, status = "draining", http.StatusServiceUnavailable
	}
	if err := writeJSON(w, status, answer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// look tells how the dependencies are, by name: "ok" or what is missing. The answer is shared and never changed.
func (d *readiness) look(ctx context.Context) (map[string]string, error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.last == nil || time.Since(d.taken) >= lookAge {
		d.last = d.check(context.WithoutCancel(ctx)) // others may wait for it too
		d.taken = time.Now()                         // its end, so that those who waited for one that hung do not begin another
	}
	return d.last, nil
}

// check asks all dependencies side by side: one that hangs takes all the time there is, and must not be taken for the
// failure of others.
func (d *readiness) check(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	found := map[string]string{}
	var all sync.WaitGroup
	var mu sync.Mutex // guards found
	for name, check := range d.Checks {
		all.Go(func() {
			text := "ok"
			if err := check(ctx); err != nil {
				text = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			found[name] = text
		})
	}
	all.Wait()
	return found
}
