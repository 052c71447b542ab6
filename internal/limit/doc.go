// Package limit decides how much may pass: rates of a key over time, and how much of something may be held at once.
//
// A Limiter keeps one rate for many keys by the generic cell rate algorithm (GCRA; ITU-T I.371, annex A): a key holds
// one time, the one at which its bucket is full again. A key that is at rest is not remembered, so memory is bounded
// by the keys that are busy, and beyond Options.Keys by forgetting those that are nearest to rest. In any span of
// length t, a key passes at most burst + rate × t.
//
// Several processes share a rate through a Ledger (see Sharer). Each process always grants its equal share by itself, at
// once; what it wants beyond that it leases in lots from the ledger, in the background; and everything that it granted by
// itself is charged to the ledger, so that nobody leases it again. A decision never waits for the ledger, and a ledger that
// does not answer leaves each process with its equal share. Together, n processes pass at most 2 × burst + rate × t, and
// beyond that what they have not charged yet: in each 2 % of the rate.
//
// A Pool bounds what is held at once, over all keys, and keeps one key from holding all of it.
//
// Time is monotonic: steps of the clock change nothing.
package limit
