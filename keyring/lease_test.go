package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"auditlog/keyring"
)

// unique fails when a ref comes twice.
func unique(t *testing.T, all ...[]keyring.Ref) {
	t.Helper()
	seen := map[keyring.Ref]bool{}
	for _, some := range all {
		for _, ref := range some {
			if seen[ref] {
				t.Fatalf("%v was handed out twice", ref)
			}
			seen[ref] = true
		}
	}
}

func TestConcurrentSealsNeverShareALeaf(t *testing.T) {
	r := newRing(t, keyring.Options{MinLease: 4, MaxLease: 64})
	var wg sync.WaitGroup
	all := make([][]keyring.Ref, 16)
	for g := range all {
		wg.Go(func() {
			for i := range 300 {
				event, plain := [16]byte{byte(g), byte(i), byte(i >> 8)}, []byte(fmt.Sprint(g, i))
				sealed, ref, err := r.Seal(t.Context(), tenantA, event, nil, plain)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := r.Open(t.Context(), tenantA, event, ref, nil, sealed)
				if err != nil || string(got) != string(plain) {
					t.Errorf("opened %q, %v", got, err)
					return
				}
				all[g] = append(all[g], ref)
			}
		})
	}
	wg.Wait()
	unique(t, all...)
}

// TestReopenNeverReusesALeaf leaves rings as a crash does: without Close, at any point of a lease.
func TestReopenNeverReusesALeaf(t *testing.T) {
	dir := t.TempDir()
	var all [][]keyring.Ref
	for n := range 12 {
		r := keyring.New(openFolder(t, dir), keyring.Options{MinLease: 2, MaxLease: 8})
		if err := r.CreateTenant(t.Context(), tenantA); err != nil {
			t.Fatal(err)
		}
		all = append(all, refs(sealN(t, r, n)))
	}
	unique(t, all...)
}

// TestCrashWhileLeasing fails every write of a lease in turn, before and after it took place, also where an epoch ends.
func TestCrashWhileLeasing(t *testing.T) {
	for _, after := range []bool{false, true} {
		dir := t.TempDir()
		var used []keyring.Ref
		for n := range 40 { // 16 leaves an epoch: several epochs
			d := &failingDriver{Driver: openFolder(t, dir), left: n % 4, after: after}
			if n == 0 {
				d.left = 3 // tenant's root, counter, secrets
			}
			r := keyring.NewShaped(d, keyring.Options{MinLease: 4, MaxLease: 4}, 2, 2)
			if err := r.CreateTenant(t.Context(), tenantA); err != nil {
				t.Fatal(err)
			}
			var ms []message
			for i := 0; ; i++ {
				m := message{event: [16]byte{byte(i)}, plain: []byte("x")}
				var err error
				if m.sealed, m.ref, err = r.Seal(t.Context(), tenantA, m.event, nil, m.plain); err != nil {
					if !errors.Is(err, errCrash) {
						t.Fatal(err)
					}
					break
				}
				ms = append(ms, m)
			}
			used = append(used, refs(ms)...)
			reopened := keyring.NewShaped(openFolder(t, dir), keyring.Options{}, 2, 2)
			for _, m := range ms {
				mustOpen(t, t, reopened, m, false)
			}
		}
		unique(t, used)
		if last := used[len(used)-1]; last.Epoch < 3 {
			t.Fatalf("only reached %v", last)
		}
	}
}

func TestCrashWhileCreatingATenant(t *testing.T) {
	for n := range 3 {
		for _, after := range []bool{false, true} {
			dir := t.TempDir()
			broken := keyring.New(&failingDriver{Driver: openFolder(t, dir), left: n, after: after}, keyring.Options{})
			if err := broken.CreateTenant(t.Context(), tenantA); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			r := withTenant(t, keyring.New(openFolder(t, dir), keyring.Options{}))
			mustOpen(t, t, r, sealN(t, r, 1)[0], false)
		}
	}
}

// TestLeasesFollowTraffic counts durable writes: a cold bulk takes few, a slow writer wastes little at a restart.
func TestLeasesFollowTraffic(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	d := &countingDriver{Driver: openFolder(t, t.TempDir())}
	r := withTenant(t, keyring.New(d, keyring.Options{Now: func() time.Time { return now }}))
	d.puts = 0
	sealN(t, r, 1000)
	if d.puts > 3 {
		t.Errorf("1,000 seals at once took %d leases", d.puts)
	}
	sealN(t, r, 100_000)
	d.puts = 0
	sealN(t, r, 10*16_384)
	if d.puts > 10 {
		t.Errorf("under load %d leases for ten times the largest", d.puts)
	}
	for range 12 { // hours go by between leases: they shrink
		now = now.Add(time.Hour)
		sealN(t, r, 16_384)
	}
	d.puts = 0
	now = now.Add(time.Hour)
	sealN(t, r, 16_384)
	if d.puts < 2 {
		t.Errorf("leases did not shrink")
	}
}

// TestEpochRollsOver writes through three epochs of a small tree; all of it stays readable and puncturable.
func TestEpochRollsOver(t *testing.T) {
	dir := t.TempDir()
	r := withTenant(t, keyring.NewShaped(openFolder(t, dir), keyring.Options{MinLease: 8, MaxLease: 32}, 2, 2, 2))
	ms := sealN(t, r, 160)
	unique(t, refs(ms))
	if ms[159].ref.Epoch < 2 {
		t.Fatalf("ended at %v", ms[159].ref)
	}
	gone := map[int]bool{0: true, 63: true, 100: true, 159: true}
	var batch []keyring.Ref // one call for all epochs
	for i := range gone {
		batch = append(batch, ms[i].ref)
	}
	if err := r.Puncture(t.Context(), tenantA, batch); err != nil {
		t.Fatal(err)
	}
	reopened := keyring.NewShaped(openFolder(t, dir), keyring.Options{}, 2, 2, 2)
	for i, m := range ms {
		mustOpen(t, t, r, m, gone[i])
		mustOpen(t, t, reopened, m, gone[i])
	}
}

func TestWaitForALeaseEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	r := withTenant(t, keyring.New(openFolder(t, dir), keyring.Options{}))
	unlock, err := openFolder(t, dir).Lock(t.Context(), tenantA, keyring.Scope{}) // another process
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := r.Seal(ctx, tenantA, tenantA, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	unlock()
	mustOpen(t, t, r, sealN(t, r, 1)[0], false)
}

// TestStartEpochAfterARestore puts an old lease counter back.
func TestStartEpochAfterARestore(t *testing.T) {
	dir := t.TempDir()
	d := openFolder(t, dir)
	r := withTenant(t, keyring.New(d, keyring.Options{}))
	backup, err := d.Get(t.Context(), tenantA, keyring.Item{Kind: keyring.Lease})
	if err != nil {
		t.Fatal(err)
	}
	ms := sealN(t, r, 10)
	if err := d.Put(t.Context(), tenantA, keyring.Item{Kind: keyring.Lease}, backup); err != nil {
		t.Fatal(err)
	}
	restored := keyring.New(openFolder(t, dir), keyring.Options{})
	for _, r := range []*keyring.Ring{restored, r} {
		if err := r.StartEpoch(t.Context(), tenantA); err != nil {
			t.Fatal(err)
		}
		ms = append(ms, sealN(t, r, 10)...)
	}
	unique(t, refs(ms))
	if last := ms[len(ms)-1].ref; last.Epoch != 2 {
		t.Errorf("the running lease went on: %v", last)
	}
	for _, m := range ms {
		mustOpen(t, t, restored, m, false)
	}
}
