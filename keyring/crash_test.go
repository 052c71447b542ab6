package keyring_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"auditlog/keyring"
)

// TestCrashAtEachStepOfAPuncture lets the process die before and after every write of a puncture. After each crash every
// message that was not to go opens; after the same puncture again those that were to go do not, and no seed above them
// is stored. Between crash and repetition a different puncture may come, which meets the half-done one.
func TestCrashAtEachStepOfAPuncture(t *testing.T) {
	t.Parallel() // waits for the disk most of the time
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 10 {
		before, batch, between := pick(random, 64), pick(random, 64), pick(random, 64)
		for step := 0; ; step++ {
			done := crashOnce(t, before, batch, between[:len(between)*(round%2)], step, step%2 == 1)
			if done {
				break
			}
		}
	}
}

// pick draws some indexes, with whole regions among them.
func pick(random *rand.Rand, leaves int) (out []int) {
	for range random.IntN(4) {
		out = append(out, random.IntN(leaves))
	}
	first := random.IntN(leaves)
	for i, end := first, min(leaves, first+random.IntN(40)); i < end; i++ {
		out = append(out, i)
	}
	return out
}

// crashOnce tells whether the puncture needed fewer writes than the step at which it should have died.
func crashOnce(t *testing.T, before, batch, between []int, step int, after bool) bool {
	dir := t.TempDir()
	open := func(d keyring.Driver) *keyring.Ring {
		return keyring.NewShaped(d, keyring.Options{MinLease: 64, MaxLease: 64}, 2, 2, 2)
	}
	r := withTenant(t, open(openFolder(t, dir)))
	ms := sealN(t, r, 64)
	gone := map[int]bool{}
	puncture := func(r *keyring.Ring, indexes []int) error {
		var batch []keyring.Ref
		for _, i := range indexes {
			batch = append(batch, ms[i].ref)
		}
		return r.Puncture(t.Context(), tenantA, batch)
	}
	finish := func(indexes []int) {
		t.Helper()
		if err := puncture(r, indexes); err != nil {
			t.Fatal(err)
		}
		for _, i := range indexes {
			gone[i] = true
		}
	}
	finish(before)

	dying := open(&failingDriver{Driver: openFolder(t, dir), left: step / 2, after: after})
	err := puncture(dying, batch)
	if err != nil && !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	half := map[int]bool{}
	for _, i := range batch {
		half[i] = true
	}
	check := func() {
		t.Helper()
		for _, r := range []*keyring.Ring{r, open(openFolder(t, dir))} {
			r.Forget(tenantA)
			for i, m := range ms {
				if !half[i] || gone[i] {
					mustOpen(t, t, r, m, gone[i])
				}
			}
		}
	}
	check()
	finish(between)
	check()
	finish(batch)
	check()
	_, readable := keyring.StoredSeeds(t, r, tenantA, 0)
	for i, ok := range readable {
		if ok == gone[i] {
			t.Fatalf("leaf %d is covered by a stored seed: %v", i, ok)
		}
	}
	if orphans := keyring.Orphans(t, r, tenantA, 0); len(orphans) > 0 && len(gone) == 64 {
		t.Fatalf("an epoch without keys still stores %v", orphans)
	}
	for _, orphan := range keyring.Orphans(t, r, tenantA, 0) {
		for _, leaf := range orphan.Leaves {
			if gone[int(leaf)] {
				t.Fatalf("chunk %v, which nothing leads to, still covers leaf %d", orphan.Item, leaf)
			}
		}
	}
	return err == nil
}
