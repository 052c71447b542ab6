// Package eventstore is the append-only log from which everything else is derived.
//
// # What any store promises
//
// Every sentence here is one named case of package storetest, and every driver passes it.
//
//   - AppendIsAtomic: a flush is kept whole or not at all. An atomic unit inside it is stored whole or refused whole,
//     and a refused unit never harms its neighbours.
//   - AppendIsDurable: what Append acknowledged survives a crash of the process and of the machine.
//   - PositionsAreDense: a tenant's positions are 1…n without gap or repetition, in commit order; a shard's offsets
//     likewise. A position acknowledged before an append was sent is smaller than that append's.
//   - ReadersMissNothing: a reader that walks by position or by offset, beside any number of writers, sees exactly the
//     final log: whoever sees offset o has seen, or can read, all below it.
//   - KeysReplay: a draft whose idempotency token is known, with the same fingerprint, stores nothing and yields the
//     first answer; with another fingerprint it is refused and nothing of it is stored. Both hold within one flush, and
//     for flushes at the same time, for ever.
//   - FlushesReplay: a flush sent again with the same flush id, because its answer was lost, yields the first outcomes
//     and stores nothing.
//   - TenantsNeverMeet: no call answers with, counts, or reveals another tenant's events; another tenant's id answers
//     as a missing one.
//   - TimeNeverStepsBack: recorded_at never decreases with offset or position, though the clock does. A head more than
//     MaxClockLead ahead of the clock refuses appends with fault.Clock.
//   - AppendOnly: no method of Store changes or removes an event. Only Lifecycle hides and removes, below a watermark.
//   - PurgedIsHidden: events at or below the watermark answer no read from the commit of the purge on; ranges and rows
//     together have no gap; the leaf hash and id of a removed event stay.
//   - AboutIsExact: an amendment or erasure is stored only when its entry exists, is not purged and is not erased,
//     decided at commit; so of two at the same time exactly one order is the truth. Head.Hidden tells the newest event
//     that hid others.
//
// # What is not promised
//
// Projections lag, and delivery beyond this package is at least once. Bytes are opaque here: package format gives
// them meaning, package keyring opens the private part.
package eventstore
