package postgres

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"auditlog/eventstore"
)

// viewOf is one of so many leases and members, of whom each holds so many.
func viewOf(leases int, holds ...int) view {
	v := view{leases: map[eventstore.Shard]bool{}, holds: map[uuid.UUID]int{}}
	for n := range leases {
		v.leases[eventstore.Shard(n)] = false
	}
	for range holds {
		v.members = append(v.members, uuid.New())
	}
	slices.SortFunc(v.members, compare)
	for i, n := range holds {
		v.holds[v.members[i]] = n
	}
	return v
}

// The shares of all members are all leases, and differ by one at most.
func TestShares(t *testing.T) {
	for leases := range 20 {
		for n := 1; n < 9; n++ {
			v, sum := viewOf(leases, make([]int, n)...), 0
			for _, id := range v.members {
				take, keep := v.shares(id)
				if take != leases/n && take != leases/n+1 || keep < take {
					t.Errorf("%d of %d leases for one of %d, who may keep %d", take, leases, n, keep)
				}
				sum += take
			}
			if sum != leases {
				t.Errorf("%d members share %d of %d leases", n, sum, leases)
			}
			if take, keep := v.shares(uuid.New()); take+keep != 0 {
				t.Errorf("a stranger's share is %d, %d", take, keep)
			}
		}
	}
}

// One lease more than the share moves only to somebody who has less than all others.
func TestLeasesStayWithoutNeed(t *testing.T) {
	for _, c := range []struct {
		leases int
		holds  []int
		keep   []int
	}{
		{16, []int{16}, []int{16}},
		{16, []int{16, 0}, []int{8, 8}},
		{1, []int{0, 1}, []int{1, 1}},
		{16, []int{5, 5, 6}, []int{6, 6, 6}},
		{16, []int{4, 4, 4, 4, 0}, []int{4, 3, 3, 3, 3}},
		{16, []int{3, 3, 3, 3, 4}, []int{4, 4, 4, 4, 4}},
		{2, []int{0, 1, 1}, []int{1, 1, 1}},
	} {
		v := viewOf(c.leases, c.holds...)
		for i, id := range v.members {
			if _, keep := v.shares(id); keep != c.keep[i] {
				t.Errorf("%d leases, held %v: number %d keeps %d, want %d", c.leases, c.holds, i, keep, c.keep[i])
			}
		}
	}
}
