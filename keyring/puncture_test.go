package keyring_test

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"auditlog/internal/fault"
	"auditlog/keyring"
)

func TestPunctureIsForOneMessageAndForGood(t *testing.T) {
	dir := t.TempDir()
	r := withTenant(t, keyring.New(openFolder(t, dir), keyring.Options{}))
	ms := sealN(t, r, 100)
	for _, m := range ms {
		mustOpen(t, t, r, m, false) // fills the caches
	}
	for range 2 { // the second time finds it done
		if err := r.Puncture(t.Context(), tenantA, refs(ms[40:41])); err != nil {
			t.Fatal(err)
		}
		reopened := keyring.New(openFolder(t, dir), keyring.Options{})
		for i, m := range ms {
			mustOpen(t, t, r, m, i == 40)
			mustOpen(t, t, reopened, m, i == 40)
			if got, err := r.Punctured(t.Context(), tenantA, m.ref); err != nil || got != (i == 40) {
				t.Fatalf("Punctured(%d) = %v, %v", i, got, err)
			}
		}
		if err := reopened.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range sealN(t, r, 100) { // the lease goes on
		mustOpen(t, t, r, m, false)
	}
}

// TestRandomPuncturesAgainstAnOracle compares a small tree with a plain set, over the API and over the stored bytes.
func TestRandomPuncturesAgainstAnOracle(t *testing.T) {
	t.Parallel() // waits for the disk most of the time
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "ring")
		if err != nil {
			rt.Fatal(err)
		}
		heights := rapid.SampledFrom([][]int{{2, 2, 2}, {1, 3, 2}, {6}, {3, 3}, {1, 1, 1, 1}}).Draw(rt, "heights")
		r := keyring.NewShaped(openFolder(t, dir), keyring.Options{MinLease: 1, MaxLease: 4, CachedChunks: 3, CachedPaths: 2}, heights...)
		defer r.Close()
		if err := r.CreateTenant(t.Context(), tenantA); err != nil {
			rt.Fatal(err)
		}
		leaves := 1
		for _, h := range heights {
			leaves <<= h
		}
		ms := sealN(t, r, leaves) // leases may waste indexes, so the last ones are of epoch 1
		gone := map[keyring.Ref]bool{}
		for range rapid.IntRange(1, 6).Draw(rt, "calls") {
			first := rapid.IntRange(0, leaves-1).Draw(rt, "first")
			length := rapid.IntRange(0, leaves).Draw(rt, "length")
			picked := rapid.SliceOfN(rapid.IntRange(0, leaves-1), 0, 8).Draw(rt, "single")
			for i := first; i < min(leaves, first+length); i++ {
				picked = append(picked, i)
			}
			var batch []keyring.Ref
			for _, i := range picked {
				batch = append(batch, ms[i].ref)
				gone[ms[i].ref] = true
			}
			if err := r.Puncture(t.Context(), tenantA, batch); err != nil {
				rt.Fatal(err)
			}
			for _, m := range ms {
				mustOpen(t, rt, r, m, gone[m.ref])
			}
			for epoch := range ms[leaves-1].ref.Epoch + 1 {
				_, readable := keyring.StoredSeeds(t, r, tenantA, epoch)
				for index, ok := range readable {
					if ok == gone[keyring.Ref{Epoch: epoch, Index: uint32(index)}] {
						rt.Fatalf("epoch %d index %d: a stored seed covers it: %v", epoch, index, ok)
					}
				}
			}
		}
	})
}

// TestStoredSizeStaysSmall holds the bounds of the event format: m erasures keep ≤ m·log2(2^20/m) seeds, and one erasure
// writes ≤ 4 KiB.
func TestStoredSizeStaysSmall(t *testing.T) {
	t.Parallel() // waits for the disk most of the time
	dir := t.TempDir()
	d := &countingDriver{Driver: openFolder(t, dir)}
	r := withTenant(t, keyring.New(d, keyring.Options{MinLease: 1 << 20, MaxLease: 1 << 20}))
	sealN(t, r, 1) // the whole epoch is leased
	random := rand.New(rand.NewPCG(1, 2))
	m := 0
	for _, index := range slices.Concat(random.Perm(1 << 20)[:150], random.Perm(1 << 12)[:150], random.Perm(1<<6)) {
		d.put = 0
		ref := keyring.Ref{Index: uint32(index)}
		if err := r.Puncture(t.Context(), tenantA, []keyring.Ref{ref}); err != nil {
			t.Fatal(err)
		}
		if d.put > 4096 {
			t.Fatalf("puncture %d wrote %d bytes", m, d.put)
		}
		if d.put > 0 { // not drawn twice
			m++
		}
	}
	seeds, _ := keyring.StoredSeeds(t, r, tenantA, 0)
	if bound := float64(m) * math.Log2(float64(1<<20)/float64(m)); float64(seeds) > bound {
		t.Errorf("%d erasures keep %d seeds, the bound is %.0f", m, seeds, bound)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "0", "*.seeds"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d chunk files, %v", len(files), err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 2300 {
			t.Errorf("%s: %d bytes, %v", f, info.Size(), err)
		}
	}
}

// TestPurgeOfARangeWritesFewChunks punctures whole regions; what was stored below them goes too.
func TestPurgeOfARangeWritesFewChunks(t *testing.T) {
	dir := t.TempDir()
	d := &countingDriver{Driver: openFolder(t, dir)}
	r := withTenant(t, keyring.New(d, keyring.Options{MinLease: 1 << 20, MaxLease: 1 << 20}))
	sealN(t, r, 1)
	puncture := func(first, end uint32) {
		var batch []keyring.Ref
		for i := first; i < end; i++ {
			batch = append(batch, keyring.Ref{Index: i})
		}
		d.put, d.puts = 0, 0
		if err := r.Puncture(t.Context(), tenantA, batch); err != nil {
			t.Fatal(err)
		}
	}
	puncture(5000, 5001)
	puncture(70_000, 70_001)
	puncture(100, 300_000)
	if d.puts > 5 {
		t.Errorf("a purge of a range wrote %d chunks", d.puts)
	}
	_, readable := keyring.StoredSeeds(t, r, tenantA, 0)
	for i, ok := range readable {
		if ok == (i >= 100 && i < 300_000) {
			t.Fatalf("leaf %d readable: %v", i, ok)
		}
	}
	puncture(0, 1<<20)
	files, err := filepath.Glob(filepath.Join(dir, "*", "0", "*.seeds"))
	if err != nil || len(files) != 1 {
		t.Fatalf("a purged epoch keeps %v, %v", files, err)
	}
}

func TestPunctureRefusesWhatWasNeverLeased(t *testing.T) {
	r := newRing(t, keyring.Options{})
	ms := sealN(t, r, 1)
	for _, ref := range []keyring.Ref{{Index: 64}, {Index: 1 << 20}, {Epoch: 1}} {
		if err := r.Puncture(t.Context(), tenantA, []keyring.Ref{ms[0].ref, ref}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v", ref, err)
		}
	}
	mustOpen(t, t, r, ms[0], false)
}

// TestPunctureOfAComingLeafSealsNothingUnreadable punctures leased leaves that were not handed out yet.
func TestPunctureOfAComingLeafSealsNothingUnreadable(t *testing.T) {
	r := newRing(t, keyring.Options{})
	sealN(t, r, 10)
	if err := r.Puncture(t.Context(), tenantA, []keyring.Ref{{Index: 11}, {Index: 40}}); err != nil {
		t.Fatal(err)
	}
	for _, m := range sealN(t, r, 100) {
		mustOpen(t, t, r, m, false)
	}
}
