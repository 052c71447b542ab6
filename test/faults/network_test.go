package faults

import (
	"net/url"
	"testing"
	"time"

	"auditlog/test/stack"
)

// wires are those between the processes of a service and what they use. The keys lie on the store's server.
type wires struct {
	apiPostgres, workerPostgres, workerQueues, workerSearch *wire
}

// wired has two APIs and two workers started, each reaching its servers over the wires.
func (s servers) wired(t *testing.T, w *stack.World) (wires, *nodes) {
	t.Helper()
	host := func(address string) string {
		u, err := url.Parse(address)
		fatal(t, err)
		return u.Host
	}
	lines := wires{
		apiPostgres:    newWire(t, "API to PostgreSQL", host(s.postgres.URL)),
		workerPostgres: newWire(t, "worker to PostgreSQL", host(s.postgres.URL)),
		workerQueues:   newWire(t, "worker to SQS", host(s.queues.URL)),
		workerSearch:   newWire(t, "worker to OpenSearch", host(s.search.Address)),
	}
	databases := func(over *wire) map[string]string {
		changes := map[string]string{}
		for _, setting := range []string{"AUDITLOG_STORE", "AUDITLOG_LIFECYCLE", "AUDITLOG_KEYS"} {
			changes[setting] = over.over(w.Settings[setting])
		}
		return changes
	}
	api, worker := databases(lines.apiPostgres), databases(lines.workerPostgres)
	worker["AWS_ENDPOINT_URL_SQS"] = lines.workerQueues.over(w.Settings["AWS_ENDPOINT_URL_SQS"])
	worker["AUDITLOG_SEARCH"] = lines.workerSearch.over(w.Settings["AUDITLOG_SEARCH"])
	n := &nodes{world: w}
	for range 2 {
		n.apis = append(n.apis, w.Start(api, "api"))
		n.workers = append(n.workers, w.Start(worker, "worker"))
	}
	return lines, n
}

// network cuts, half-opens and slows each wire under load. What the workers lose harms no append; when the wire is whole
// again the lag goes, and nothing is lost or doubled.
func network(t *testing.T, s servers) {
	r := random(t)
	w := s.world(t)
	lines, nodes := s.wired(t, w)
	tenants, captures := inhabit(t, w, nodes, 2)
	l := startLoad(t, nodes, tenants)
	table := newAccount(t, l, r)
	var all []victim
	for _, line := range []*wire{lines.apiPostgres, lines.workerPostgres, lines.workerQueues, lines.workerSearch} {
		writes, dropped := asEver, 3*time.Second
		if line == lines.apiPostgres {
			writes, dropped = refused, 6*time.Second // about as long as a flush is waited for
		}
		all = append(all,
			victim{
				name: line.proxy.Name + ", cut", kill: func(*testing.T) { line.cut() }, revive: func(*testing.T) { line.mend() },
				down: time.Second, writes: writes,
			},
			victim{
				name: line.proxy.Name + ", half-open", kill: func(*testing.T) { line.halfOpen() }, revive: func(*testing.T) { line.clear() },
				down: dropped, writes: writes,
			},
			victim{
				name: line.proxy.Name + ", slow", kill: func(*testing.T) { line.slow(150*time.Millisecond, 100*time.Millisecond) },
				revive: func(*testing.T) { line.clear() }, down: 2 * time.Second, writes: asEver,
			})
	}
	for range max(1, cycles/networkShare) {
		for _, i := range r.Perm(len(all)) {
			table.strike(all[i])
		}
	}
	l.finish()
	table.print()
	for i, b := range l.books {
		check(t, l, b, captures[i:i+1], nodes.worker(0).Ops)
	}
	checkShared(t, nodes, s, w, l)
}

// networkShare is how many kills there are for each round over all wires.
const networkShare = 20
