package statetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/search/opensearch"
)

// NewShared makes an empty state and opens it twice, as two processes do.
type NewShared func(tb testing.TB) [2]opensearch.State

// RunShared runs the cases of a state that several processes share.
func RunShared(t *testing.T, open NewShared) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, [2]opensearch.State)
	}{
		{"AddsOfTwoProcessesJoin", addsOfTwoJoin},
		{"NothingComesInAfterShut", nothingAfterShut},
		{"NothingComesInAfterPromote", nothingAfterPromote},
		{"TwoProcessesPlaceATenantOnce", placedOnce},
		{"TwoBuildsHaveTwoNumbers", twoBuilds},
		{"ScrubByAnotherProcessStays", scrubByAnother},
		{"RetiringByAnotherProcessIsSeen", retiringIsSeen},
		{"OneProcessRefreshes", oneRefreshes},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// Ranges come in from both sides, in any order and overlapping: what is there is always disjoint and ascending, and in
// the end all of them.
func addsOfTwoJoin(t *testing.T, s [2]opensearch.State) {
	rnd := rand.New(rand.NewPCG(7, 1))
	var all []projection.Range
	var want projection.Ranges
	for range 120 {
		from := eventstore.Offset(rnd.IntN(600))
		r := projection.Range{From: from, To: from + 1 + eventstore.Offset(rnd.IntN(5))}
		all, want = append(all, r), want.Add(r)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := i; j < len(all); j += 8 {
				if err := s[i%2].Add(t.Context(), 1, 5, all[j]); err != nil {
					t.Error(err)
				}
				got, err := s[(i+1)%2].Ranges(t.Context(), 1, 5)
				if err != nil || !got.Covers(all[j]) {
					t.Errorf("the other does not see %v: %v, %v", all[j], got, err)
				}
				for n := 1; n < len(got); n++ {
					if got[n-1].To >= got[n].From {
						t.Errorf("not disjoint: %v", got)
					}
				}
			}
		})
	}
	wg.Wait()
	expectRanges(t, s[0], 1, 5, want...)
	expectRanges(t, s[1], 1, 5, want...)
}

// adding has both add ranges to a generation until closed() is called, which tells what each shard took.
func adding(t *testing.T, s [2]opensearch.State, gen int) (closed func() map[eventstore.Shard]projection.Ranges) {
	var mu sync.Mutex // guards took
	took := map[eventstore.Shard]projection.Ranges{}
	var wg, warm sync.WaitGroup
	for i := range 8 {
		shard := eventstore.Shard(i / 2)
		warm.Add(1)
		wg.Go(func() {
			for n := eventstore.Offset(i % 2); ; n += 2 {
				r := projection.Range{From: n, To: n + 1}
				err := s[i%2].Add(t.Context(), gen, shard, r)
				if n == eventstore.Offset(i%2) {
					warm.Done()
				}
				if errors.Is(err, opensearch.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				took[shard] = took[shard].Add(r)
				mu.Unlock()
			}
		})
	}
	warm.Wait()
	return func() map[eventstore.Shard]projection.Ranges {
		wg.Wait()
		return took
	}
}

// What is there when Shut returns is all that was told to be there, and stays so.
func nothingAfterShut(t *testing.T, s [2]opensearch.State) {
	closed := adding(t, s, 1)
	must(t, s[0].Shut(t.Context(), 1, 77))
	atShut := map[eventstore.Shard]projection.Ranges{}
	for shard := range eventstore.Shard(4) {
		r, err := s[1].Ranges(t.Context(), 1, shard)
		must(t, err)
		atShut[shard] = r
	}
	for shard, took := range closed() {
		expectRanges(t, s[0], 1, shard, atShut[shard]...)
		if !slices.Equal(took, atShut[shard]) {
			t.Errorf("shard %d took %v and holds %v", shard, took, atShut[shard])
		}
	}
}

// Promote ends whoever writes the former generation, of ranges and of all else, and nobody waits for ever for another.
func nothingAfterPromote(t *testing.T, s [2]opensearch.State) {
	for range 5 {
		live, err := s[0].Live(t.Context())
		must(t, err)
		gen, err := s[0].Build(t.Context())
		must(t, err)
		closed := adding(t, s, live.N)
		ctx, stop := context.WithCancel(t.Context())
		var others sync.WaitGroup
		for i := range 2 {
			others.Go(func() {
				for n := eventstore.Offset(1); ctx.Err() == nil; n++ {
					err := errors.Join(
						s[i].SetVisible(t.Context(), live.N, map[eventstore.Shard]eventstore.Offset{0: n, 1: n, 2: n, 3: n, eventstore.Shard(n % 50): n}),
						s[i].Purge(t.Context(), live.N, eventstore.TenantID{byte(n)}, eventstore.Position(n)),
						s[i].AddIndex(t.Context(), live.N, string(rune('a'+n%20))),
						s[i].Scrub(t.Context(), live.N, "a"),
					)
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		must(t, s[1].Promote(t.Context(), gen))
		closed()
		stop()
		others.Wait()
		for shard := range eventstore.Shard(4) {
			expectRanges(t, s[0], live.N, shard)
		}
		for _, st := range s {
			if now, err := st.Live(t.Context()); err != nil || now.N != gen {
				t.Fatalf("live is %+v, %v; want %d", now, err, gen)
			}
			names, err := st.Indices(t.Context(), live.N)
			marks, err2 := st.Visible(t.Context(), live.N)
			if err := errors.Join(err, err2); err != nil || len(names)+len(marks) > 0 {
				t.Errorf("of the former generation there are %v, %v, %v", names, marks, err)
			}
		}
	}
}

func placedOnce(t *testing.T, s [2]opensearch.State) {
	for n := range byte(10) {
		var kept [2]string
		var wg sync.WaitGroup
		for i := range s {
			wg.Go(func() {
				var err error
				if kept[i], err = s[i].Place(t.Context(), 1, eventstore.TenantID{n}, string(rune('a'+i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if kept[0] != kept[1] {
			t.Errorf("tenant %d is in %q for one and in %q for the other", n, kept[0], kept[1])
		}
	}
}

func twoBuilds(t *testing.T, s [2]opensearch.State) {
	var gens [2]int
	var wg sync.WaitGroup
	for i := range s {
		wg.Go(func() {
			var err error
			if gens[i], err = s[i].Build(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if gens[0] == gens[1] {
		t.Fatalf("both build generation %d", gens[0])
	}
	earlier, later := min(gens[0], gens[1]), max(gens[0], gens[1])
	if err := s[0].Add(t.Context(), earlier, 0, projection.Range{From: 0, To: 1}); !errors.Is(err, opensearch.ErrClosed) {
		t.Errorf("the build that was given up takes a range: %v", err)
	}
	must(t, s[1].Add(t.Context(), later, 0, projection.Range{From: 0, To: 1}))
}

func scrubByAnother(t *testing.T, s [2]opensearch.State) {
	must(t, s[0].Scrub(t.Context(), 1, "a"))
	due, err := s[1].Scrubs(t.Context(), 1)
	must(t, err)
	must(t, s[0].Scrub(t.Context(), 1, "a"))
	must(t, s[1].Scrubbed(t.Context(), 1, "a", due["a"]))
	if left, err := s[0].Scrubs(t.Context(), 1); err != nil || len(left) != 1 {
		t.Errorf("asked for while another scrubbed, and gone: %v, %v", left, err)
	}
}

func retiringIsSeen(t *testing.T, s [2]opensearch.State) {
	must(t, s[0].AddIndex(t.Context(), 1, "a"))
	token := retire(t, s[0], "a")
	expectIndices(t, s[1], []string{"a"}, []string{"a"}, nil)
	later := retire(t, s[1], "a")
	drop(t, s[0], "a", token, false)
	drop(t, s[1], "a", later, true)
	if err := s[0].AddIndex(t.Context(), 1, "a"); !errors.Is(err, opensearch.ErrClosed) {
		t.Errorf("a name that another process spent is added: %v", err)
	}
}
