package faults

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"auditlog/test/stack"
)

// cycles are so many kills, or what AUDITLOG_FAULT_CYCLES says.
const cycles = 20

// healTime is how long projections may take to reach what was acknowledged before a dependency was healthy again.
const healTime = 30 * time.Second

// TestFaults kills parts of a service under load, one at a time in turn, and checks afterwards what clients know against
// the store, the index, the statistics, the streams and the queues.
func TestFaults(t *testing.T) {
	n := cycles
	if text := os.Getenv("AUDITLOG_FAULT_CYCLES"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		fatal(t, err)
	}
	s := ownServers(t)
	w := s.world(t)
	nodes := startNodes(w)
	var tenants []stack.Tenant
	var captures []*capture
	for i := range 2 {
		tenant := w.Tenant(nodes.api(i%2), fmt.Sprint("tenant-", i))
		tenants = append(tenants, tenant)
		captures = append(captures, startCapture(t, nodes, tenant.Tokens["reader"]))
	}
	l := startLoad(t, nodes, tenants)
	table := newAccount(t, l)
	all := victims(s, nodes)
	for i := range n {
		table.strike(i+1, all[i%len(all)])
	}
	table.strike(n+1, victim{
		"worker stopped, not killed", func(*testing.T) { nodes.worker(0).Signal(syscall.SIGSTOP) },
		func(*testing.T) { nodes.worker(0).Signal(syscall.SIGCONT) }, 20 * time.Second, asEver,
	})
	poison := newPoison(t, s.queues, w.Settings["AUDITLOG_QUEUE_PREFIX"])
	table.strike(n+2, victim{"poison in the queues", poison.start, poison.stop, 5 * time.Second, asEver})
	l.finish()
	table.print()
	for i, b := range l.books {
		check(t, nodes, b, captures[i])
	}
	checkShared(t, nodes, s, w, l)
	poison.check()
	for i, names := range map[int][]string{3: {"event_store", "keys"}, 4: {"search"}, 5: {"bus"}} {
		t.Run("ready without "+all[i].name, func(t *testing.T) { readyWithout(t, nodes, l, all[i], names...) })
	}
	t.Run("wrong password", func(t *testing.T) { wrongPassword(t, s, w) })
}

// account is the table of the cycles.
type account struct {
	t *testing.T
	l *load
	w *tabwriter.Writer
	b strings.Builder
}

func newAccount(t *testing.T, l *load) *account {
	a := &account{t: t, l: l}
	a.w = tabwriter.NewWriter(&a.b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(a.w, "CYCLE\tFAULT\tDOWN\tACKNOWLEDGED\tMEANWHILE\tREFUSED\tUNANSWERED\tLAG HEALED AFTER")
	return a
}

func (a *account) print() {
	_ = a.w.Flush() // to memory
	a.t.Logf("\n%s", a.b.String())
}

// strike carries out one cycle.
func (a *account) strike(number int, v victim) {
	a.t.Helper()
	before := a.l.acked()
	start := time.Now()
	v.kill(a.t)
	if v.down > 0 {
		<-time.After(v.down + rand.N(v.down))
	}
	v.revive(a.t)
	down, healthy := time.Since(start), time.Now()
	meanwhile := a.l.acked() - before
	a.heal(v)
	healed := time.Since(healthy)
	if healed > healTime {
		a.t.Errorf("cycle %d, %s: healed only after %v", number, v.name, healed)
	}
	none, no := 0, 0
	for _, c := range a.l.since(start) {
		switch {
		case !v.writes.allow(c.status):
			a.t.Errorf("cycle %d, %s: %s answers %d %s", number, v.name, c.what, c.status, c.answer)
		case c.status == 0:
			none++
		case c.status == http.StatusServiceUnavailable:
			no++
		}
	}
	fmt.Fprintf(a.w, "%d\t%s\t%v\t%d\t%d\t%d\t%d\t%v\n", number, v.name, down.Round(100*time.Millisecond), a.l.acked()-before, meanwhile, no, none, healed.Round(100*time.Millisecond))
}

// heal waits until every projection has what was acknowledged so far.
func (a *account) heal(v victim) {
	a.t.Helper()
	heads := make([]int64, len(a.l.books))
	for i, b := range a.l.books {
		heads[i] = b.head()
	}
	for deadline := time.Now().Add(2 * healTime); ; <-time.After(100 * time.Millisecond) {
		behind := ""
		for i, b := range a.l.books {
			behind += lagging(a.l.nodes, b, heads[i])
		}
		if behind == "" {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("%s: it does not heal: %s\n%s", v.name, behind, a.l.nodes.said())
		}
	}
}

// lagging tells what has not reached a position of a tenant.
func lagging(n *nodes, b *book, head int64) string {
	url, behind := n.urls()[0], ""
	for _, path := range []string{"/api/v1/logs?limit=1", "/api/v1/logs/stats?"} {
		var at struct {
			CompleteTo struct{ Position int64 } `json:"complete_to"`
		}
		answer, status, err := stack.Call(url, b.Tokens["reader"], http.MethodGet, path, "")
		if err != nil || status != http.StatusOK || json.Unmarshal(answer, &at) != nil {
			behind += fmt.Sprintf("%s answers %d %s, %v; ", path, status, answer, err)
		} else if at.CompleteTo.Position < head {
			behind += fmt.Sprintf("%s is at %d of %d; ", path, at.CompleteTo.Position, head)
		}
	}
	return behind
}
