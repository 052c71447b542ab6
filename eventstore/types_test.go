package eventstore_test

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"auditlog/eventstore"
)

func TestParseIDTakesTheCanonicalFormOnly(t *testing.T) {
	const good = "01935a7e-1f3b-7c2d-8e4f-5a6b7c8d9e0f"
	id, err := eventstore.ParseEventID(good)
	if err != nil || id.String() != good {
		t.Fatalf("%v, %v", id, err)
	}
	if b, err := id.AppendText([]byte("x ")); err != nil || string(b) != "x "+good {
		t.Fatalf("%q, %v", b, err)
	}
	tenant, err := eventstore.ParseTenantID(good)
	if b, _ := tenant.AppendText(nil); err != nil || string(b) != good || tenant.String() != good {
		t.Fatalf("%v, %v", tenant, err)
	}
	for _, bad := range []string{
		"", good[:35], good + "0", strings.ToUpper(good), "{" + good + "}", "urn:uuid:" + good, strings.ReplaceAll(good, "-", ""),
		strings.Replace(good, "-", "0", 1), "0-935a7e11f3b-7c2d-8e4f-5a6b7c8d9e0f", "01935a7e-1f3b-7c2d-8e4f-5a6b7c8d9e0g", " " + good[1:],
		"00000000-0000-0000-0000-000000000000",
	} {
		if id, err := eventstore.ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) = %v", bad, id)
		}
	}
}

func TestZeroIDs(t *testing.T) {
	if !(eventstore.EventID{}).IsZero() || !(eventstore.TenantID{}).IsZero() || eventstore.NewEventID().IsZero() {
		t.Error("IsZero")
	}
}

// New ids sort by time, which keeps the index on them narrow.
func TestNewEventIDIsUUIDv7InOrder(t *testing.T) {
	ids := make([]string, 1000)
	for i := range ids {
		id := eventstore.NewEventID()
		if ids[i] = id.String(); ids[i][14] != '7' {
			t.Fatalf("%s is not of version 7", ids[i])
		}
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != len(ids) {
		t.Error("ids are not in order, or one came twice")
	}
}

// Google's package reads the fields; ids made at once by many goroutines are different, and each goroutine's ascend.
func TestNewEventIDsOfManyGoroutines(t *testing.T) {
	const each = 2000
	all := make([][]eventstore.EventID, 8)
	var wg sync.WaitGroup
	before := time.Now()
	for i := range all {
		wg.Go(func() {
			for range each {
				all[i] = append(all[i], eventstore.NewEventID())
			}
		})
	}
	wg.Wait()
	after := time.Now().Add(time.Duration(len(all)*each) * time.Second / (1000 << 12))
	seen := map[eventstore.EventID]bool{}
	for _, ids := range all {
		for i, id := range ids {
			u := uuid.UUID(id)
			sec, nsec := u.Time().UnixTime()
			if at := time.Unix(sec, nsec); u.Version() != 7 || u.Variant() != uuid.RFC4122 || at.Before(before.Truncate(time.Millisecond)) || at.After(after) {
				t.Fatalf("%v: version %d, variant %v, time %v, made between %v and %v", u, u.Version(), u.Variant(), at, before, after)
			}
			if seen[id] || i > 0 && bytes.Compare(ids[i-1][:], id[:]) >= 0 {
				t.Fatalf("%v came twice or out of order", u)
			}
			seen[id] = true
		}
	}
}

func TestMicros(t *testing.T) {
	for _, tc := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 11, 23, 10, 15, 0, 123_456_789, time.UTC), "2026-11-23T10:15:00.123456Z"},
		{time.Date(2026, 11, 23, 10, 15, 0, 0, time.UTC), "2026-11-23T10:15:00.000000Z"},
		{time.Date(2026, 11, 23, 10, 15, 0, 999, time.FixedZone("", 3600)), "2026-11-23T09:15:00.000000Z"},
		{time.Unix(0, 0), "1970-01-01T00:00:00.000000Z"},
	} {
		m := eventstore.MicrosOf(tc.at)
		if m.String() != tc.want || string(m.AppendTo([]byte("x"))) != "x"+tc.want {
			t.Errorf("%v is written %v, want %s", tc.at, m, tc.want)
		}
		if back, err := time.Parse(time.RFC3339Nano, m.String()); err != nil || eventstore.MicrosOf(back) != m || !m.Time().Equal(back) {
			t.Errorf("%v reads back as %v, %v", m, back, err)
		}
	}
}

// Times are written digit by digit; package time is the oracle.
func TestMicrosAreWrittenAsPackageTimeWritesThem(t *testing.T) {
	const layout = "2006-01-02T15:04:05.000000Z"
	from := time.Date(-2, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := from; at.Year() < 10_003; at = at.Add(1511*time.Hour + 59*time.Minute + 7*time.Second + 123_457*time.Microsecond) {
		if got, want := eventstore.MicrosOf(at).String(), at.Format(layout); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

func TestTextsDoNotAllocate(t *testing.T) {
	b, id, m := make([]byte, 0, 64), eventstore.NewEventID(), eventstore.MicrosOf(time.Now())
	if n := testing.AllocsPerRun(100, func() { b, _ = id.AppendText(b[:0]) }); n > 0 {
		t.Errorf("AppendText: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { b = m.AppendTo(b[:0]) }); n > 0 {
		t.Errorf("AppendTo: %v allocations", n)
	}
}

func TestIsEntry(t *testing.T) {
	for typ, want := range map[eventstore.Type]bool{
		eventstore.EntryRecorded: true, eventstore.EntryAmended: true, eventstore.EntryErased: true,
		eventstore.TenantCreated: false, eventstore.LifecyclePurged: false, "": false, "entry": false, "entry.": false, "access.read": false,
	} {
		if typ.IsEntry() != want {
			t.Errorf("%q.IsEntry() = %v", typ, !want)
		}
	}
}
