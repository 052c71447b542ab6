package limit

// cell is what a limiter knows of one key. The zero cell, and every one whose full is past, is a key at rest. Times are
// nanoseconds since the limiter's epoch.
type cell struct {
	full int64 // when the bucket is full again: GCRA's theoretical arrival time

	// For a shared rate:
	lot    int64 // leased, not used yet
	lacked int64 // the most that was refused since the ledger was asked last
	spent  int64 // granted from the own share, not charged yet
	since  int64 // begin of the time in which that was spent
	asking asking
}

// asking is how far a key is on its way to the ledger and back.
type asking uint8

const (
	quiet   asking = iota
	waiting        // among the stripe's asks
	claimed        // with the ledger
)

// bucket is how deep one's share of a bucket is, in the time that it takes to fill. It is the same however many share:
// each has fewer events, which take longer to come back.
func (r Rate) bucket() int64 { return burstFactor * int64(r.Per) }

// room is how much may pass now, in time. It may be negative: see take.
func (c *cell) room(r Rate, now int64) int64 { return r.bucket() - max(c.full-now, 0) }

// take passes n events or none; the lot fills up what the own share lacks. More than a whole burst passes when the
// bucket is full, and is then paid off: it would never pass otherwise, and on average the rate holds.
func (c *cell) take(r Rate, n, parts, now int64) bool {
	own := n
	if room := c.room(r, now); r.cost(n, parts) > room {
		own = min(n, r.worth(max(room, 0), parts))
		if lack := n - own; lack > c.lot {
			if atRest := c.full <= now; !atRest || r.cost(n, parts) <= r.bucket() {
				return false
			}
			own = n - c.lot
		}
	}
	c.lot -= n - own
	c.full = max(c.full, now) + r.cost(own, parts)
	if now-c.since > int64(r.Per) && c.asking == quiet { // so little in so long is forgotten
		c.spent, c.since = 0, now
	}
	c.spent += own
	return true
}

// wait is the time after which n may pass, if nothing else does.
func (c *cell) wait(r Rate, n, parts, now int64) int64 {
	lack := min(r.cost(max(n-c.lot, 0), parts), r.bucket())
	return max(lack-c.room(r, now), 0)
}

// left is how much may pass now.
func (c *cell) left(r Rate, parts, now int64) int64 {
	return r.worth(max(c.room(r, now), 0), parts) + c.lot
}

// asks tells whether the ledger has to hear of a key: it granted enough by itself, or needs more than its share.
func (c *cell) asks(r Rate, now int64) bool { return c.spent >= r.uncharged() || c.wants(r, now) }

// wants tells that the ledger is to lease something: the own share is more than half used and little is leased, or
// something was refused.
func (c *cell) wants(r Rate, now int64) bool {
	return c.lacked > 0 || c.room(r, now) < r.bucket()/2 && c.lot < r.slice()
}

// idle tells that nothing is lost when the key is forgotten, but what was leased and not used for so long.
func (c *cell) idle(r Rate, now int64) bool {
	return c.asking == quiet && (c.full <= now && c.lot == 0 || c.full+int64(r.Per) <= now)
}
