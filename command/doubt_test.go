package command_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/command"
	"auditlog/internal/fault"
)

// A refusal is one of the attempt that it answers. When an earlier attempt at the flush had no answer, the store may carry
// that one out yet: the entry's outcome is unknown, and so it is told. Found by the simulation.
func TestRefusalAfterDoubtIsNoRefusal(t *testing.T) {
	for name, first := range map[string]error{"unavailable": fault.New(fault.Unavailable, "cut"), "internal": errors.New("?")} {
		for _, then := range []fault.Kind{fault.Overloaded, fault.Clock} {
			log := newStrictLog()
			log.fail = func(call int) (before, after error) {
				if call == 1 {
					return first, nil
				}
				return fault.New(then, "not now"), nil
			}
			a := command.NewAppender(log, 1, quick)
			if _, err := a.Submit(context.Background(), 0, unit(1)); !fault.Is(err, fault.Unavailable) {
				t.Errorf("%s, then %v: %v", name, then, err)
			}
			closed(t, a)
		}
	}
}

// The same holds for the halves of a flush that failed whole.
func TestRefusedHalvesAreInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newStrictLog()
		log.proceed = make(chan struct{})
		log.fail = func(call int) (before, after error) {
			switch call {
			case 1: // of the first unit
				return nil, nil
			case 2, 3: // of the two that waited, together
				return errors.New("?"), nil
			}
			return fault.New(fault.Overloaded, "not now"), nil
		}
		a := command.NewAppender(log, 1, command.AppenderOptions{Wait: time.Hour, FlushTimeout: time.Hour})
		failed := make([]error, 3)
		for i := range failed {
			go func() { _, failed[i] = a.Submit(context.Background(), 0, unit(1)) }()
			synctest.Wait()
		}
		close(log.proceed)
		closed(t, a)
		synctest.Wait()
		if failed[0] != nil || !fault.Is(failed[1], fault.Unavailable) || !fault.Is(failed[2], fault.Unavailable) {
			t.Errorf("got %v", failed)
		}
	})
}
