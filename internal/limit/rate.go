package limit

import (
	"fmt"
	"time"
)

// Rate is how much passes on average. What was not used in time adds up to a burst of twice Events. No Events: no limit.
type Rate struct {
	Events int64 // at most MaxEvents
	Per    time.Duration
}

// Bounds that keep the arithmetic within 63 bits.
const (
	MaxEvents = 1_000_000
	MaxPer    = time.Hour
)

const burstFactor = 2

// PerSecond is n a second; 0 and below: no limit.
func PerSecond(n int) Rate { return Rate{int64(max(n, 0)), time.Second} }

// PerHour is n an hour; 0 and below: no limit.
func PerHour(n int) Rate { return Rate{int64(max(n, 0)), time.Hour} }

// Off tells that there is no limit.
func (r Rate) Off() bool { return r.Events == 0 }

// Burst is how much may pass at once after a rest.
func (r Rate) Burst() int64 { return burstFactor * r.Events }

// Window is how long a burst takes to come back.
func (r Rate) Window() time.Duration { return burstFactor * r.Per }

func (r Rate) check() {
	if r.Events < 0 || r.Events > MaxEvents || !r.Off() && (r.Per <= 0 || r.Per > MaxPer) {
		panic(fmt.Sprintf("limit: a rate of %d per %v", r.Events, r.Per))
	}
}

// cost is the time, in nanoseconds, after which n events have come back where one of parts processes asks.
func (r Rate) cost(n, parts int64) int64 { return n * int64(r.Per) / r.Events * parts }

// worth is how many events a time in nanoseconds brings back, the reverse of cost.
func (r Rate) worth(ns, parts int64) int64 { return ns / parts * r.Events / int64(r.Per) }

// slice is how much is leased at once: a tenth of what comes in one Per.
func (r Rate) slice() int64 { return max(1, r.Events/10) }

// uncharged is how much a process may grant within one Per without telling the others.
func (r Rate) uncharged() int64 { return max(1, r.Events/50) }
