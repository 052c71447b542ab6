package keyring_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"auditlog/keyring"
)

// TestForgetBringsAnotherProcessUpToDate punctures through one ring what another has cached.
func TestForgetBringsAnotherProcessUpToDate(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_700_000_000, 0)
	writer := withTenant(t, keyring.New(openFolder(t, dir), keyring.Options{}))
	reader := withTenant(t, keyring.New(openFolder(t, dir), keyring.Options{Now: func() time.Time { return now }}))
	ms := sealN(t, writer, 50)
	for _, m := range ms {
		mustOpen(t, t, reader, m, false)
	}
	if err := writer.Puncture(t.Context(), tenantA, refs(ms[7:8])); err != nil {
		t.Fatal(err)
	}
	if gone, err := reader.Punctured(t.Context(), tenantA, ms[7].ref); err != nil || !gone {
		t.Fatalf("Punctured answered from memory: %v, %v", gone, err)
	}
	mustOpen(t, t, reader, ms[7], false) // not told yet
	reader.Forget(tenantA)
	for i, m := range ms {
		mustOpen(t, t, reader, m, i == 7)
	}
	if err := writer.Puncture(t.Context(), tenantA, refs(ms[8:9])); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, t, reader, ms[8], false)
	now = now.Add(61 * time.Second) // never told: the cache grew too old
	for i, m := range ms {
		mustOpen(t, t, reader, m, i == 7 || i == 8)
	}
	mustOpen(t, t, reader, sealN(t, reader, 1)[0], false)
}

// TestSmallCachesAnswerAlike opens in random order through caches that hold next to nothing.
func TestSmallCachesAnswerAlike(t *testing.T) {
	r := newRing(t, keyring.Options{CachedChunks: 1, CachedPaths: 1})
	ms := sealN(t, r, 1000)
	var batch []keyring.Ref
	for i := 0; i < len(ms); i += 3 {
		batch = append(batch, ms[i].ref)
	}
	if err := r.Puncture(t.Context(), tenantA, batch); err != nil {
		t.Fatal(err)
	}
	for _, i := range rand.New(rand.NewPCG(5, 6)).Perm(len(ms)) {
		mustOpen(t, t, r, ms[i], i%3 == 0)
	}
}

// TestReadersBesidePunctures opens from two rings, one of which stands for another process, while a third punctures. No
// reader may meet an error other than ErrPunctured, nor open what had been punctured through its own ring before.
func TestReadersBesidePunctures(t *testing.T) {
	t.Parallel() // waits for the disk most of the time
	dir := t.TempDir()
	own := withTenant(t, keyring.New(openFolder(t, dir), keyring.Options{CachedChunks: 2, CachedPaths: 2}))
	other := withTenant(t, keyring.New(openFolder(t, dir), keyring.Options{CachedChunks: 2, CachedPaths: 2}))
	ms := sealN(t, own, 400)
	order := rand.New(rand.NewPCG(7, 8)).Perm(len(ms))
	var done [400]atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	for g := range 4 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(9, uint64(g)))
			for ctx.Err() == nil {
				i := random.IntN(len(ms))
				was, r := done[i].Load(), own
				if g%2 == 1 {
					was, r = false, other
					other.Forget(tenantA)
				}
				_, err := r.Open(t.Context(), tenantA, ms[i].event, ms[i].ref, nil, ms[i].sealed)
				if err != nil && !errors.Is(err, keyring.ErrPunctured) || err == nil && was {
					t.Errorf("message %d, punctured before %v: %v", i, was, err)
					return
				}
			}
		})
	}
	for len(order) > 240 {
		if err := own.Puncture(t.Context(), tenantA, []keyring.Ref{ms[order[0]].ref, ms[order[1]].ref}); err != nil {
			t.Error(err)
			break
		}
		done[order[0]].Store(true)
		done[order[1]].Store(true)
		order = order[2:]
	}
	cancel()
	readers.Wait()
	left := map[int]bool{}
	for _, i := range order {
		left[i] = true
	}
	for i, m := range ms {
		mustOpen(t, t, own, m, !left[i])
	}
}

// TestALateReaderLeavesNothingInTheCache punctures while an Open holds the old chunk in its hands.
func TestALateReaderLeavesNothingInTheCache(t *testing.T) {
	d := &pausingDriver{Driver: openFolder(t, t.TempDir())}
	r := withTenant(t, keyring.New(d, keyring.Options{}))
	ms := sealN(t, r, 3)
	d.meanwhile = func() {
		if err := r.Puncture(t.Context(), tenantA, refs(ms[:2])); err != nil {
			t.Error(err)
		}
	}
	mustOpen(t, t, r, ms[0], false) // began before the puncture
	mustOpen(t, t, r, ms[0], true)  // no path of the leaf was kept
	mustOpen(t, t, r, ms[1], true)  // nor the chunk
	mustOpen(t, t, r, ms[2], false)
}
