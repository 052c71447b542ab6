package faults

import (
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

// Of the kills on each tier: so many kills, or what AUDITLOG_FAULT_CYCLES says, while so many entries at
// least are acknowledged, or what AUDITLOG_FAULT_ENTRIES says.
var (
	cycles        = number("AUDITLOG_FAULT_CYCLES", gateCycles)
	entriesWanted = number("AUDITLOG_FAULT_ENTRIES", 0)
)

// gateCycles are the kills of each tier in the gate: each victim of the distributed one once.
const gateCycles = 11

// number is a number of the environment, or its default.
func number(setting string, otherwise int) int {
	text := os.Getenv(setting)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		panic(setting + " must be a number: " + text)
	}
	return n
}

// random is a generator whose seed is printed, and taken from AUDITLOG_FAULT_SEED when that is given. The moments at which
// faults meet a busy machine do not repeat with it; which faults, in what order, after what pauses, does.
func random(t *testing.T) *rand.Rand {
	seed := uint64(number("AUDITLOG_FAULT_SEED", int(rand.Uint32())))
	t.Logf("AUDITLOG_FAULT_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// healTime is how long projections may take to reach what was acknowledged before a dependency was healthy again.
const healTime = 30 * time.Second

// TestFaultsDistributed runs a service on servers of its own under load while the network and the parts of it fail, and checks
// afterwards what clients know against the store, the index, the statistics, the streams and the queues.
func TestFaultsDistributed(t *testing.T) {
	s := ownServers(t)
	t.Run("network", func(t *testing.T) { network(t, s) })
	t.Run("linearizable", func(t *testing.T) { linearizable(t, s) })
	t.Run("clock", func(t *testing.T) { clockBackDistributed(t, s) })
	t.Run("kills", func(t *testing.T) { kills(t, s) })
}

// kills kills and stops everything in turn.
func kills(t *testing.T, s servers) {
	r := random(t)
	w := s.world(t)
	nodes := startNodes(w)
	tenants, captures := inhabit(t, w, nodes, 2)
	l := startLoad(t, nodes, tenants)
	table := newAccount(t, l, r)
	all := victims(s, nodes)
	table.strikeAll(all)
	table.strike(victim{
		name: "worker stopped, not killed", kill: func(*testing.T) { nodes.worker(0).Signal(syscall.SIGSTOP) },
		revive: func(*testing.T) { nodes.worker(0).Signal(syscall.SIGCONT) }, down: 12 * time.Second, writes: asEver,
	})
	poison := newPoison(t, s.queues, w.Settings["AUDITLOG_QUEUE_PREFIX"])
	table.strike(victim{name: "poison in the queues", kill: poison.start, revive: poison.stop, down: 3 * time.Second, writes: asEver})
	l.finish()
	table.print()
	for i, b := range l.books {
		check(t, l, b, captures[i:i+1], nodes.worker(0).Ops)
	}
	checkShared(t, nodes, s, w, l)
	poison.check()
	for _, v := range all {
		if len(v.names) > 0 {
			t.Run("ready without "+v.name, func(t *testing.T) { readyWithout(t, nodes, l, v, v.names...) })
		}
	}
	t.Run("wrong password", func(t *testing.T) { wrongPassword(t, s, w) })
}

// TestFaultsEmbedded does the same with the one process of the embedded tier.
func TestFaultsEmbedded(t *testing.T) {
	r := random(t)
	w := stack.NewEmbedded(t, binary)
	one := startOne(w)
	tenants, captures := inhabit(t, w, one, 2)
	l := startLoad(t, one, tenants)
	table := newAccount(t, l, r)
	table.strikeAll(one.oneVictims())
	l.finish()
	table.print()
	for i, b := range l.books {
		check(t, l, b, captures[i:i+1], one.worker(0).Ops)
	}
	rebuild(t, w, one.worker(0).Ops)
}

// inhabit makes tenants, each with a capture of its stream.
func inhabit(t *testing.T, w *stack.World, n *nodes, count int) (tenants []stack.Tenant, captures []*capture) {
	for i := range count {
		tenant := w.Tenant(n.api(i), fmt.Sprint("tenant-", i))
		tenants = append(tenants, tenant)
		captures = append(captures, startCapture(t, n, tenant.Tokens["reader"]))
	}
	return tenants, captures
}

// account is the table of the cycles.
type account struct {
	t      *testing.T
	l      *load
	r      *rand.Rand
	w      *tabwriter.Writer
	b      strings.Builder
	number int
	kills  int // of what an append goes through
	hits   int // of those, with appends under way whose clients did not learn what became of them, or had to wait for it
}

func newAccount(t *testing.T, l *load, r *rand.Rand) *account {
	a := &account{t: t, l: l, r: r}
	a.w = tabwriter.NewWriter(&a.b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(a.w, "CYCLE\tFAULT\tDOWN\tUNDER WAY\tUNKNOWN\tACKNOWLEDGED\tMEANWHILE\tREFUSED\tUNANSWERED\tLAG HEALED AFTER")
	return a
}

// hitShare is how many of the kills of what an append goes through must hit one under way.
const hitShare = 0.75

func (a *account) print() {
	a.t.Helper()
	_ = a.w.Flush() // to memory
	a.t.Logf("\n%s%d entries acknowledged; %d of %d kills of what an append goes through hit appends under way", a.b.String(), a.l.acked(), a.hits, a.kills)
	if float64(a.hits) < hitShare*float64(a.kills) {
		a.t.Errorf("only %d of %d kills hit an append", a.hits, a.kills)
	}
	if acked := a.l.acked(); acked < entriesWanted {
		a.t.Errorf("%d entries were acknowledged, %d are wanted", acked, entriesWanted)
	}
}

// strikeAll strikes each victim in turn, each round in an order of its own, and has entries acknowledged at an even rate.
func (a *account) strikeAll(all []victim) {
	var round []int
	for i := range cycles {
		if len(round) == 0 {
			round = a.r.Perm(len(all))
		}
		a.strike(all[round[0]])
		round = round[1:]
		if a.l.acked() >= entriesWanted*(i+1)/cycles {
			continue
		}
		a.l.urged.Store(true)
		for a.l.acked() < entriesWanted*(i+1)/cycles {
			<-time.After(10 * time.Millisecond)
		}
		a.l.urged.Store(false)
		a.heal("press of entries")
	}
}

// strike carries out one cycle: a while of pressing load, the fault at a moment that nobody chose, and the way back.
func (a *account) strike(v victim) {
	a.t.Helper()
	a.number++
	since, before := a.l.history.Since(), a.l.acked()
	a.l.urged.Store(true)
	<-time.After(between(a.r, 50*time.Millisecond, 500*time.Millisecond))
	struck := a.l.history.Since()
	at := ""
	if v.at != nil {
		at = v.at()
	}
	underWay := a.l.history.UnderWay(at)
	start := time.Now()
	v.kill(a.t)
	a.l.urged.Store(false)
	if v.down > 0 {
		<-time.After(between(a.r, v.down, 2*v.down))
	}
	v.revive(a.t)
	down, healthy := time.Since(start), time.Now()
	meanwhile := a.l.acked() - before
	a.heal(v.name)
	healed := time.Since(healthy)
	if healed > healTime {
		a.t.Errorf("cycle %d, %s: healed only after %v", a.number, v.name, healed)
	}
	none, no, unknown, waited := 0, 0, 0, 0
	for _, c := range a.l.history.From(since) {
		if c.Sent < since {
			continue // of the cycle before
		}
		hit := c.Sent < struck && (at == "" || c.To == at)
		switch {
		case !v.writes.allow(c.Status):
			a.t.Errorf("cycle %d, %s: %v", a.number, v.name, &c)
		case c.Status == 0:
			none++
		case c.Status == http.StatusServiceUnavailable:
			no++
		}
		if hit && c.Returned > struck {
			waited++
			if c.Status == 0 || c.Status == http.StatusServiceUnavailable {
				unknown++
			}
		}
	}
	if v.append {
		a.kills++
		if unknown > 0 || v.writes == refused && waited > 0 {
			a.hits++
		}
	}
	fmt.Fprintf(a.w, "%d\t%s\t%v\t%d\t%d\t%d\t%d\t%d\t%d\t%v\n", a.number, v.name, down.Round(100*time.Millisecond), underWay, unknown,
		a.l.acked()-before, meanwhile, no, none, healed.Round(100*time.Millisecond))
}

// between is a random time.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// heal waits until every projection has what was acknowledged so far.
func (a *account) heal(from string) {
	a.t.Helper()
	heads := make([]int64, len(a.l.books))
	for i, b := range a.l.books {
		heads[i] = b.head()
	}
	for deadline := time.Now().Add(2 * healTime); ; <-time.After(100 * time.Millisecond) {
		behind := ""
		for i, b := range a.l.books {
			behind += lagging(a.l.to, b, heads[i])
		}
		if behind == "" {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("%s: it does not heal: %s\n%s", from, behind, a.l.to.said())
		}
	}
}
