package search_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/projection/search"
	"auditlog/projection/search/searchtest"
)

func dump(t *testing.T, x *search.Index) string {
	t.Helper()
	var b strings.Builder
	if err := x.Dump(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// histories are logs of five events each in which order could matter.
var histories = map[string]func(*searchtest.Log){
	"amended twice, erased": func(l *searchtest.Log) {
		e := l.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "first"})
		l.Amend(e, format.Private{Message: "second"})
		l.Amend(e, format.Private{Message: "third", Metadata: []byte(`{"k":1}`)})
		l.Erase(e)
		l.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "another"})
	},
	"amended and purged": func(l *searchtest.Log) {
		e := l.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "first"})
		l.Amend(e, format.Private{Message: "second"})
		kept := l.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "kept"})
		l.Purge(tenant, 2)
		l.Amend(kept, format.Private{Message: "fourth"})
	},
	"purged twice beside another tenant": func(l *searchtest.Log) {
		l.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "first"})
		l.Purge(tenant, 1)
		l.Record(searchtest.Tenant(2), format.Public{Action: "READ"}, format.Private{Message: "other"})
		l.Append(tenant, format.Public{Type: "access.list"}, format.Private{Message: "seen"})
		l.Purge(tenant, 2)
	},
}

var tenant = searchtest.Tenant(1)

// three is a log of three events that change each other.
func three(l *searchtest.Log) {
	e := l.Record(tenant, format.Public{Action: "READ"}, format.Private{Message: "first"})
	l.Amend(e, format.Private{Message: "second"})
	l.Erase(e)
}

// Every order of five events, each delivered alone, some twice, some again in one envelope, one again late, gives the
// same documents.
func TestAnyOrderGivesTheSameDocuments(t *testing.T) {
	for name, history := range histories {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, history)
			var l projtest.Late
			n := 0
			for order := range projtest.Orders(5) {
				at, after := l.Pick(order)
				var envelopes []projection.Envelope
				for i, event := range order {
					if i == after {
						envelopes = append(envelopes, b.single(order[at]))
					}
					one := b.single(event)
					envelopes = append(envelopes, one)
					switch (n + i) % 3 {
					case 1: // twice
						envelopes = append(envelopes, one)
					case 2: // once more, overlapping its neighbours
						envelopes = append(envelopes, b.log.Envelope(max(one.From-1, 0), one.To))
					}
				}
				if after == len(order) {
					envelopes = append(envelopes, b.single(order[at]))
				}
				b.same(envelopes, "order %v, %d again after %d", order, order[at], after)
				n++
			}
			if n != 120 || l.Missing(5) > 0 {
				t.Fatalf("%d orders, %d ways to be late were not tried", n, l.Missing(5))
			}
		})
	}
}

// Every sequence in which each of three events comes once or twice gives the same documents.
func TestAnyDuplicationGivesTheSameDocuments(t *testing.T) {
	b, n := newBench(t, three), 0
	for sequence := range projtest.Doublings(3) {
		var envelopes []projection.Envelope
		for _, event := range sequence {
			envelopes = append(envelopes, b.single(event))
		}
		b.same(envelopes, "sequence %v", sequence)
		n++
	}
	if n != 222 { // 3! + 3·4!/2 + 3·5!/4 + 6!/8
		t.Errorf("%d sequences", n)
	}
}

// bench is where a log's events are delivered in many sequences, and compared with the plain one.
type bench struct {
	t     *testing.T
	log   *searchtest.Log
	empty string // folder of an index that was opened once: making the tables costs more than filling them
	want  string
}

func newBench(t *testing.T, history func(*searchtest.Log)) *bench {
	b := &bench{t: t, log: searchtest.NewLog(t), empty: t.TempDir()}
	history(b.log)
	x, err := search.Open(t.Context(), config(b.empty, b.log))
	if err == nil {
		err = x.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	straight := open(t, t.TempDir(), b.log)
	if err := straight.Apply(t.Context(), b.log.Envelope(0, b.log.Head())); err != nil {
		t.Fatal(err)
	}
	if b.want = dump(t, straight); strings.Count(b.want, "\n") < 1 {
		t.Fatalf("dump %q", b.want)
	}
	return b
}

// single is the envelope of one event of the log, counted from 0.
func (b *bench) single(event int) projection.Envelope {
	return b.log.Envelope(eventstore.Offset(event), eventstore.Offset(event+1))
}

// same delivers envelopes to an empty index and holds it to the plain order's documents and to all of its progress.
func (b *bench) same(envelopes []projection.Envelope, format string, args ...any) {
	b.t.Helper()
	name, dir := fmt.Sprintf(format, args...), filepath.Join(b.t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(b.empty)); err != nil {
		b.t.Fatal(err)
	}
	x, err := search.Open(b.t.Context(), config(dir, b.log))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, env := range envelopes {
		if err := x.Apply(b.t.Context(), env); err != nil {
			b.t.Fatal(err)
		}
	}
	if got := dump(b.t, x); got != b.want {
		b.t.Fatalf("%s:\n%s\nwant\n%s", name, got, b.want)
	}
	r, err := x.Progress(b.t.Context(), 0)
	if err != nil || !slices.Equal(r, projection.Ranges{{From: 0, To: b.log.Head()}}) {
		b.t.Fatalf("%s: progress %v, %v", name, r, err)
	}
	if err := x.Close(); err != nil {
		b.t.Fatal(err)
	}
}
