package sim

import (
	"strings"
	"testing"
	"time"

	"auditlog/eventstore"
)

// lies are promises that a fake does not keep, by the invariant whose check must say so.
var lies = map[string]string{
	"an acknowledged event is not kept":     "I1",
	"a stored flush is refused":             "I2",
	"flush ids are not looked at":           "I2",
	"keys are not looked at":                "I3",
	"a replay has an id of its own":         "I3",
	"positions are given twice":             "I4",
	"a reader skips an event":               "I5",
	"ranges are not looked at":              "I6",
	"a range is recorded before its effect": "I6",
	"a projection stands still":             "I8",
	"what is parked is forgotten":           "I17",
}

// Each check sees what it is there for, within a few seeds.
func TestChecksSeeLies(t *testing.T) {
	for lie, invariant := range lies {
		t.Run(lie, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				for _, wrong := range schedule(t, seed+1, lie).wrong {
					if strings.Contains(wrong, " "+invariant+": ") {
						t.Logf("seed %d: %s", seed+1, wrong)
						return
					}
				}
			}
			t.Errorf("%s is not seen to be broken", invariant)
		})
	}
}

// The check of I4 sees a request that was sent after an answer and got an earlier position, and nothing where the two
// overlap.
func TestCheckSeesOrder(t *testing.T) {
	at := func(called, returned time.Duration, position eventstore.Position) *try {
		return &try{called: called, returned: returned, fate: acknowledged, outcomes: []eventstore.Outcome{{Status: eventstore.Stored, Position: position}}}
	}
	for sent, want := range map[time.Duration]int{21: 1, 20: 0, 11: 0} {
		w := newWorld(1, "")
		w.tries = []*try{at(sent, 30, 7), at(10, 20, 8), at(1, 5, 3), at(31, 32, 9)}
		w.checkOrder()
		if len(w.wrong) != want {
			t.Errorf("sent at %d: %q", sent, w.wrong)
		}
	}
}
