package projection_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
)

// Where several processes apply to one read model, a sweeper brings nothing while some other process gets further, and
// fills what is left when none does.
func TestSweeperLeavesOtherProcessesTheirWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := projtest.NewMemory(), &projtest.Counter{}
		m.Append(100)
		var swept atomic.Int64
		idle := projection.NewRunner(c, m, &memoryParking{}, projection.RunnerOptions{Shared: true, Hooks: projection.Hooks{
			Swept: func(_ string, events int) { swept.Add(int64(events)) },
		}})
		busy := projection.NewRunner(c, m, &memoryParking{}, projection.RunnerOptions{Shared: true})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- idle.Run(ctx) }()
		for at := range eventstore.Offset(60) { // six seconds
			env, err := projection.ReadEnvelope(ctx, m, 0, projection.Range{From: at, To: at + 1}, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := busy.Handle(ctx, env); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := swept.Load(); n != 0 {
			t.Errorf("%d events were swept while another process applied", n)
		}
		time.Sleep(12 * time.Second)
		if n := swept.Load(); n != 40 {
			t.Errorf("%d events were swept once nothing moved; 40 were missing", n)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
