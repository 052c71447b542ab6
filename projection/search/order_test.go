package search_test

import (
	"slices"
	"strings"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/projection"
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

// Every order of five events, each delivered alone, some twice, some again in one envelope, gives the same documents.
func TestAnyOrderGivesTheSameDocuments(t *testing.T) {
	for name, history := range histories {
		t.Run(name, func(t *testing.T) {
			log := searchtest.NewLog(t)
			history(log)
			straight := open(t, t.TempDir(), log)
			if err := straight.Apply(t.Context(), log.Envelope(0, 5)); err != nil {
				t.Fatal(err)
			}
			want := dump(t, straight)
			if strings.Count(want, "\n") < 2 {
				t.Fatalf("dump %q", want)
			}
			n := 0
			for order := range permutations([]eventstore.Offset{1, 2, 3, 4, 5}) {
				x, err := search.Open(t.Context(), config(t.TempDir(), log))
				if err != nil {
					t.Fatal(err)
				}
				for i, o := range order {
					envelopes := []projection.Envelope{log.Envelope(o-1, o)}
					switch (n + i) % 3 {
					case 1: // twice
						envelopes = append(envelopes, envelopes[0])
					case 2: // once more, overlapping its neighbours
						envelopes = append(envelopes, log.Envelope(max(o-2, 0), o))
					}
					for _, env := range envelopes {
						if err := x.Apply(t.Context(), env); err != nil {
							t.Fatal(err)
						}
					}
				}
				if got := dump(t, x); got != want {
					t.Fatalf("order %v:\n%s\nwant\n%s", order, got, want)
				}
				r, err := x.Progress(t.Context(), 0)
				if err != nil || !slices.Equal(r, projection.Ranges{{From: 0, To: 5}}) {
					t.Fatalf("order %v: progress %v, %v", order, r, err)
				}
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 120 {
				t.Fatalf("%d orders", n)
			}
		})
	}
}

// permutations yields every order of s, in place.
func permutations(s []eventstore.Offset) func(yield func([]eventstore.Offset) bool) {
	return func(yield func([]eventstore.Offset) bool) {
		var step func(k int) bool
		step = func(k int) bool {
			if k == len(s) {
				return yield(s)
			}
			for i := k; i < len(s); i++ {
				s[k], s[i] = s[i], s[k]
				if !step(k + 1) {
					return false
				}
				s[k], s[i] = s[i], s[k]
			}
			return true
		}
		step(0)
	}
}
