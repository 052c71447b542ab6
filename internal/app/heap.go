package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A heap of few live bytes would be collected for each few MiB of requests, which takes a fifth of the CPU under load.
// heapRoom is the garbage that may gather instead. What lives beyond that many bytes is doubled at most, as always.
const (
	heapRoom     = 64 << 20
	mostPercent  = 400
	leastPercent = 100
)

// paceCollector sets how much garbage may gather, until ctx ends. Whoever sets GOGC decides himself; under GOMEMLIMIT the
// runtime collects earlier by itself.
func paceCollector(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer debug.SetGCPercent(leastPercent)
	for now := leastPercent; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		metrics.Read(live)
		if want := gcPercent(live[0].Value.Uint64()); want*10 < now*9 || want*9 > now*10 { // each change stops the world
			now = want
			debug.SetGCPercent(now)
		}
	}
}

// gcPercent is the garbage to allow, in percent of the live bytes.
func gcPercent(live uint64) int {
	return int(min(max(100*heapRoom/max(live, 1), leastPercent), mostPercent))
}
