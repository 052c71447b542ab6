package command

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"auditlog/eventstore"
)

// plainQueue says what a queue must hold, without any cleverness.
type plainQueue struct {
	lines map[eventstore.TenantID][]*ticket
	// sent are the bytes of each tenant since it last had nothing waiting.
	sent map[eventstore.TenantID]int
}

func (p *plainQueue) held() (h held) {
	for _, line := range p.lines {
		for _, t := range line {
			h.add(t.entries(), t.bytes)
		}
	}
	return h
}

func (p *plainQueue) drop(tenant eventstore.TenantID, at int) {
	p.lines[tenant] = slices.Delete(p.lines[tenant], at, at+1)
	if len(p.lines[tenant]) == 0 {
		delete(p.lines, tenant)
		delete(p.sent, tenant)
	}
}

// Random pushes, turns and withdrawals: each tenant's units leave in order of arrival, nothing is lost or left over, and
// tenants that wait all the time get the same bytes, but for a unit and a quantum each.
func TestQueueTakesTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		plain := plainQueue{map[eventstore.TenantID][]*ticket{}, map[eventstore.TenantID]int{}}
		largest := rapid.SampledFrom([]int{700, quantum, 10 * quantum}).Draw(t, "largest")
		tenants := rapid.IntRange(1, 5).Draw(t, "tenants")
		served := func(a, b eventstore.TenantID) int { return plain.sent[a] - plain.sent[b] }
		since := map[[2]eventstore.TenantID]int{} // served, when both began to wait
		meet := func() {
			for a := range plain.lines {
				for b := range plain.lines {
					if _, ok := since[[2]eventstore.TenantID{a, b}]; !ok {
						since[[2]eventstore.TenantID{a, b}] = served(a, b)
					}
				}
			}
			for pair, before := range since {
				switch {
				case plain.lines[pair[0]] == nil || plain.lines[pair[1]] == nil:
					delete(since, pair)
				case math.Abs(float64(served(pair[0], pair[1])-before)) > float64(2*(largest+quantum)):
					t.Fatalf("one tenant got %d bytes more than another that waited as long", served(pair[0], pair[1])-before)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				tenant := eventstore.TenantID{byte(rapid.IntRange(1, tenants).Draw(t, "tenant"))}
				least, drafts := rapid.IntRange(100, largest).Draw(t, "bytes"), rapid.IntRange(1, 3).Draw(t, "drafts")
				for i := range rapid.IntRange(1, 200).Draw(t, "units") {
					tk := &ticket{bytes: min(least+i, largest)}
					tk.unit.Tenant, tk.unit.Drafts = tenant, make([]eventstore.Draft, drafts)
					q.push(tk)
					plain.lines[tenant] = append(plain.lines[tenant], tk)
				}
				meet()
			},
			"take": func(t *rapid.T) {
				for range rapid.IntRange(1, 200).Draw(t, "n") {
					tk := q.head()
					if (tk == nil) != (len(plain.lines) == 0) {
						t.Fatalf("head %v of %d lines", tk, len(plain.lines))
					}
					if tk == nil {
						return
					}
					if first := plain.lines[tk.unit.Tenant][0]; first != tk {
						t.Fatal("a tenant's unit went before an earlier one")
					}
					q.take(tk)
					plain.sent[tk.unit.Tenant] += tk.bytes
					plain.drop(tk.unit.Tenant, 0)
					meet()
				}
			},
			"withdraw": func(t *rapid.T) {
				tenant := eventstore.TenantID{byte(rapid.IntRange(1, tenants).Draw(t, "tenant"))}
				if n := len(plain.lines[tenant]); n > 0 {
					at := rapid.IntRange(0, n-1).Draw(t, "at")
					q.withdraw(plain.lines[tenant][at])
					plain.drop(tenant, at)
					meet()
				}
			},
			"": func(t *rapid.T) {
				if q.held != plain.held() {
					t.Fatalf("the queue counts %+v, and holds %+v", q.held, plain.held())
				}
				if len(q.flows) != len(plain.lines) {
					t.Fatalf("%d lines, want %d", len(q.flows), len(plain.lines))
				}
				for tenant, line := range plain.lines {
					own := (&plainQueue{lines: map[eventstore.TenantID][]*ticket{tenant: line}}).held()
					if q.of(tenant) != own {
						t.Fatalf("tenant %d has %+v waiting, want %+v", tenant[0], q.of(tenant), own)
					}
				}
			},
		})
	})
}

// What a tenant saved up for a large unit goes when it withdraws that unit.
func TestWithdrawnCreditIsGone(t *testing.T) {
	var q queue
	ticketOf := func(tenant byte, bytes int) *ticket {
		t := &ticket{bytes: bytes}
		t.unit.Tenant[0] = tenant
		q.push(t)
		return t
	}
	large := ticketOf(1, 100*quantum)
	for range 100 {
		ticketOf(1, quantum)
		ticketOf(2, quantum)
	}
	for range 60 { // the other sends while the large unit waits for its credit
		q.take(q.head())
	}
	if q.flows[large.unit.Tenant].credit < 50*quantum {
		t.Fatalf("the large unit has saved up %d bytes", q.flows[large.unit.Tenant].credit)
	}
	q.withdraw(large)
	took := [3]int{}
	for range 20 {
		tk := q.head()
		took[tk.unit.Tenant[0]]++
		q.take(tk)
	}
	if took[1] > 12 {
		t.Errorf("of 20 turns one tenant had %d", took[1])
	}
}

// Units may wait up to the limits and not beyond; a tenant and a lane leave room for others; what is given back is there
// again.
func TestRoomIsShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &room{maxEntries: rapid.IntRange(2, 64).Draw(t, "entries"), maxBytes: rapid.IntRange(2, 6400).Draw(t, "bytes"), lanes: rapid.IntRange(1, 3).Draw(t, "lanes")}
		type place struct{ lane, tenant int }
		var tenants [3][4]held
		var lanes [3]held
		var all held
		var units []struct {
			place
			held
		}
		t.Repeat(map[string]func(*rapid.T){
			"claim": func(t *rapid.T) {
				at := place{rapid.IntRange(0, r.lanes-1).Draw(t, "lane"), rapid.IntRange(0, 3).Draw(t, "tenant")}
				u := held{rapid.IntRange(1, 8).Draw(t, "n"), rapid.IntRange(1, 800).Draw(t, "b")}
				tenant, lane := tenants[at.lane][at.tenant], lanes[at.lane]
				why := r.claim(u, tenant, lane)
				left := held{r.maxEntries - (all.entries - tenant.entries), r.maxBytes - (all.bytes - tenant.bytes)} // by others
				switch {
				case all.entries == 0 && why != "":
					t.Fatalf("a unit was refused where none waits: %s", why)
				case all.entries > 0 && why == "" && (2*(tenant.entries+u.entries) > left.entries || 2*(tenant.bytes+u.bytes) > left.bytes):
					t.Fatalf("a tenant holds more than half of what others leave")
				case all.entries > 0 && why == "" && r.lanes > 1 && 4*(lane.entries+u.entries) > 3*(r.maxEntries-all.entries+lane.entries):
					t.Fatalf("a lane holds more than three quarters of what others leave")
				case why == RefusedShare && 2*(tenant.entries+u.entries) <= left.entries && 2*(tenant.bytes+u.bytes) <= left.bytes:
					t.Fatalf("a tenant was refused its share")
				}
				if why == "" {
					tenants[at.lane][at.tenant].add(u.entries, u.bytes)
					lanes[at.lane].add(u.entries, u.bytes)
					all.add(u.entries, u.bytes)
					units = append(units, struct {
						place
						held
					}{at, u})
				}
			},
			"leave": func(t *rapid.T) {
				if len(units) == 0 {
					return
				}
				i := rapid.IntRange(0, len(units)-1).Draw(t, "unit")
				u := units[i]
				units = slices.Delete(units, i, i+1)
				r.leave(u.held)
				tenants[u.lane][u.tenant].add(-u.entries, -u.bytes)
				lanes[u.lane].add(-u.entries, -u.bytes)
				all.add(-u.entries, -u.bytes)
			},
			"": func(t *rapid.T) {
				if got := (held{int(r.entries.Load()), int(r.bytes.Load())}); got != all {
					t.Fatalf("%+v is taken, want %+v", got, all)
				}
			},
		})
	})
}
