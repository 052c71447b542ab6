package faults

import (
	"syscall"
	"testing"
	"time"

	"auditlog/test/stack"
)

// apiVictims are an API that is killed and one that is asked to end; they take turns.
func (n *nodes) apiVictims() []victim {
	var turn int
	next := func() string { return n.api(turn).URL }
	replace := func(*testing.T) {
		n.replaceAPI(turn % len(n.apis))
		turn++
	}
	return []victim{
		{
			name: "api, kill -9", kill: func(*testing.T) { n.api(turn).Kill() }, revive: replace,
			down: 300 * time.Millisecond, writes: cut, append: true, at: next,
		},
		{
			name: "api, SIGTERM", kill: func(t *testing.T) { drained(t, n.api(turn)) }, revive: replace,
			down: 300 * time.Millisecond, writes: refused, at: next,
		},
	}
}

// workerVictims likewise.
func (n *nodes) workerVictims() []victim {
	var turn int
	replace := func(*testing.T) {
		n.replaceWorker(turn % len(n.workers))
		turn++
	}
	return []victim{
		{
			name: "worker, kill -9", kill: func(*testing.T) { n.worker(turn % len(n.workers)).Kill() }, revive: replace,
			down: time.Second, writes: asEver,
		},
		{
			name: "worker, SIGTERM", kill: func(t *testing.T) { drained(t, n.worker(turn%len(n.workers))) }, revive: replace,
			down: time.Second, writes: asEver,
		},
	}
}

// drained asks a process to end, which it does in its time and with code 0.
func drained(t *testing.T, n *stack.Node) {
	t.Helper()
	if err := n.End(syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, n.Output)
	}
}

// startOne is the embedded tier: one process that is all there is.
func startOne(w *stack.World) *nodes {
	one := w.Serve()
	return &nodes{world: w, apis: []*stack.Node{one}, workers: []*stack.Node{one}}
}

// oneVictims are the process, killed and asked to end.
func (n *nodes) oneVictims() []victim {
	replace := func(*testing.T) {
		one := n.world.Serve()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.apis[0], n.workers[0] = one, one
	}
	return []victim{
		{name: "serve, kill -9", kill: func(*testing.T) { n.api(0).Kill() }, revive: replace, writes: cut, append: true},
		{name: "serve, kill -9, soon again", kill: func(t *testing.T) {
			n.api(0).Kill()
			replace(t)
			n.api(0).Kill() // while it catches up
		}, revive: replace, writes: cut, append: true},
		{name: "serve, SIGTERM", kill: func(t *testing.T) { drained(t, n.api(0)) }, revive: replace, writes: refused},
	}
}
