package faults

import (
	"net/http"
	"testing"
	"time"

	"auditlog/test/stack"
)

// TestFullDisk lets no file of a running service grow beyond a size, which to it is a disk that fills up: the store's log,
// the indices, the keys. It is given room again; or it is killed and finds room at its next start.
func TestFullDisk(t *testing.T) {
	w := stack.NewEmbedded(t, binary)
	one := startOne(w)
	tenants, captures := inhabit(t, w, one, 1)
	l := startLoad(t, one, tenants)
	for i, revive := range []func(){
		func() { one.api(0).LimitFiles(stack.NoLimit) },
		func() { one.oneVictims()[0].kill(t); one.oneVictims()[0].revive(t) },
		func() { one.oneVictims()[2].kill(t); one.oneVictims()[2].revive(t) },
	} {
		l.urged.Store(true)
		before := l.acked()
		until(t, "acknowledgement", func() string { return missing(l.acked() > before+100) })
		since := l.history.Since()
		one.api(0).LimitFiles(1 << 16)
		until(t, "503 on a full disk", func() string {
			full := 0
			for _, c := range l.history.From(since) {
				if c.Status == http.StatusServiceUnavailable {
					full++
				}
			}
			return missing(full > 5)
		})
		r := askReady(t, one.api(0))
		if r.code != http.StatusServiceUnavailable || r.Dependencies["event_store"] == "ok" {
			t.Errorf("%d, on a full disk: %+v", i, r)
		}
		at := l.history.Since()
		<-time.After(500 * time.Millisecond)
		for _, c := range l.history.From(at) {
			if c.Sent > at && c.Acknowledged() {
				t.Errorf("%d, on a full disk: %v", i, &c)
			}
		}
		revive()
		healthy := l.acked()
		until(t, "acknowledgement with room", func() string { return missing(l.acked() > healthy+100) })
		l.urged.Store(false)
		t.Logf("%d: event_store %q, then well", i, r.Dependencies["event_store"])
	}
	l.finish()
	check(t, l, l.books[0], captures, one.worker(0).Ops)
}

func missing(found bool) string {
	if found {
		return ""
	}
	return "not yet"
}
