package eventstore

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// newest is the time of the id made last, in 4,096ths of a millisecond.
var newest atomic.Int64

// NewEventID makes a UUIDv7 (RFC 9562 §5.7) above all that this process made before, at the same moment too: the 12 bits
// behind the millisecond hold its fraction, or one more than those of the id before (§6.2, method 3). The other 62 bits
// are random, from the runtime's ChaCha8: an id is no secret, and an entropy source that is asked for each takes longer.
func NewEventID() EventID {
	const perSecond = 1000 << 12
	now := time.Now()
	at := now.Unix()*perSecond + int64(now.Nanosecond())*perSecond/int64(time.Second)
	for {
		last := newest.Load()
		at = max(at, last+1)
		if newest.CompareAndSwap(last, at) {
			break
		}
	}
	var id EventID
	binary.BigEndian.PutUint64(id[:8], uint64(at>>12)<<16|0x7000|uint64(at&0xfff))
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()>>2|1<<63)
	return id
}
