package projection_test

import (
	"errors"
	"slices"
	"testing"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
)

func pointer(from, to eventstore.Offset) projection.Envelope {
	return projection.Envelope{From: from, To: to, Epoch: 3, Pointer: true}
}

// What a pointer names is read from the store, whole, with what was removed left out.
func TestPointerIsRead(t *testing.T) {
	w := newCrowd(5000, func(env projection.Envelope) error {
		if env.Pointer || env.Epoch != 3 || len(env.Events) > 4096 {
			return errors.New("not what a projector takes")
		}
		return nil
	})
	w.m.Remove(func(o eventstore.Offset) bool { return o == 17 || o == 5000 })
	if err := w.r.Handle(t.Context(), pointer(0, 5000)); err != nil {
		t.Fatal(err)
	}
	w.times(t, 5000, 17, 5000)
	if done, _ := w.c.Progress(t.Context(), 0); !slices.Equal(done, projection.Ranges{{From: 0, To: 5000}}) {
		t.Errorf("progress %v", done)
	}
}

// Pointers wait, and go together with what adjoins of their epoch, but never more than a group may hold.
func TestPointersGoTogether(t *testing.T) {
	w := newCrowd(9000, nil)
	within := w.envelope(t, 2000, 2010)
	within.Epoch = 3
	errs := w.handle(t, 10, pointer(10, 2000), within, pointer(1990, 3000), pointer(3000, 6000), pointer(6000, 9000))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	w.times(t, 9000)
	slices.SortFunc(w.applied, func(a, b projection.Range) int { return int(a.From - b.From) })
	if want := []projection.Range{{From: 0, To: 10}, {From: 10, To: 3000}, {From: 3000, To: 6000}, {From: 6000, To: 9000}}; !slices.Equal(w.applied, want) {
		t.Errorf("applied %v, want %v", w.applied, want)
	}
}

// A bound of its own holds for what is read at once, too.
func TestGroupsHaveABoundOfTheirOwn(t *testing.T) {
	w := newCrowd(1000, nil)
	w.r = projection.NewRunner(w.c, w.m, w.parking, projection.RunnerOptions{Group: 100, Log: quiet})
	if err := w.r.Handle(t.Context(), pointer(0, 1000)); err != nil {
		t.Fatal(err)
	}
	w.times(t, 1000)
	for _, r := range w.applied {
		if r.To-r.From > 100 {
			t.Errorf("(%d, %d] was applied at once", r.From, r.To)
		}
	}
}

// Of a pointer's events the bad ones are parked, and no other.
func TestPoisonBehindAPointer(t *testing.T) {
	bad := map[eventstore.Offset]bool{7: true, 250: true}
	w := newCrowd(300, poisonous(bad))
	if err := w.r.Handle(t.Context(), pointer(0, 300)); err != nil {
		t.Fatal(err)
	}
	w.times(t, 300, 7, 250)
	var at []eventstore.Offset
	for _, p := range w.parking.parked {
		at = append(at, p.Range.To)
	}
	if !slices.Equal(at, []eventstore.Offset{7, 250}) {
		t.Errorf("parked %v", at)
	}
}

// A pointer beyond the shard's end is of another store, or older than this one's backup: its range must not count as
// applied, since other events will be there. Neither may one that could not be read, or that brings events.
func TestPointersThatLeadNowhere(t *testing.T) {
	m, c := projtest.NewMemory(), &projtest.Counter{}
	m.Append(10)
	r := projection.NewRunner(c, m, &memoryParking{}, projection.RunnerOptions{Log: quiet})
	withEvents := pointer(0, 10)
	withEvents.Events = envelopes(m, 10)[0].Events
	for name, env := range map[string]projection.Envelope{"beyond the end": pointer(5, 11), "with events": withEvents} {
		var poison *projection.Poison
		if err := r.Handle(t.Context(), env); !errors.As(err, &poison) {
			t.Errorf("%s: %v, want poison", name, err)
		}
	}
	m.Fail = func() error { return errors.New("the store is away") }
	var poison *projection.Poison
	if err := r.Handle(t.Context(), pointer(0, 10)); err == nil || errors.As(err, &poison) {
		t.Errorf("with the store away: %v, want an error that passes", err)
	}
	m.Fail = nil
	if done, _ := c.Progress(t.Context(), 0); len(done) != 0 {
		t.Fatalf("progress %v", done)
	}
	if err := r.Handle(t.Context(), pointer(0, 10)); err != nil {
		t.Fatal(err)
	}
	for o := eventstore.Offset(1); o <= 10; o++ {
		if c.Times(o) != 1 {
			t.Errorf("event %d took effect %d times", o, c.Times(o))
		}
	}
}
