package command

import "time"

// Bounds of Retry-After. Beyond the upper one nobody can tell anything.
const (
	leastRetry = time.Second
	mostRetry  = 30 * time.Second
)

// memory is the share of the flushes before that a lane remembers at each new one: those of the last dozen count.
const memory = 7. / 8

// pace is how fast a lane drains, from its last flushes: those that failed took time and stored nothing.
type pace struct{ entries, bytes, seconds, flushes float64 }

func (p *pace) flushed(stored held, took time.Duration) {
	p.entries = p.entries*memory + float64(stored.entries)
	p.bytes = p.bytes*memory + float64(stored.bytes)
	p.seconds = p.seconds*memory + took.Seconds()
	p.flushes = p.flushes*memory + 1
}

// flush is how long one takes; 0 before the first.
func (p *pace) flush() time.Duration {
	return time.Duration(p.seconds / max(p.flushes, 1) * float64(time.Second))
}

// drains is how long it takes until so much has gone, as a client is told to wait. flying is how long the flush in flight
// has taken by now; while it hangs the answer grows.
func (p *pace) drains(h held, flying time.Duration) time.Duration {
	seconds := p.seconds + flying.Seconds()
	if p.entries == 0 {
		if seconds < leastRetry.Seconds() {
			return leastRetry // nothing is known yet
		}
		return mostRetry
	}
	wait := seconds * max(float64(h.entries)/p.entries, float64(h.bytes)/max(p.bytes, 1))
	return time.Duration(min(max(wait, leastRetry.Seconds()), mostRetry.Seconds()) * float64(time.Second))
}
