// Package opensearch is the search index of the distributed tier: documents in OpenSearch, kept by envelopes and asked by
// queries.
//
// What is guaranteed:
//
//   - Any order and duplication of the same events gives the same documents. A document has the id of its entry and the
//     position of its newest event as external version, so the server itself refuses an older one.
//   - Effect first, range after: a range is recorded in State once the server acknowledged every document of it.
//     Visible follows a refresh that began after the range was recorded, so whatever lies at or below it is found.
//   - One document that the server refuses for ever makes *projection.Poison, never a failed neighbour; what it refuses
//     for now (429, 503) is sent again alone, for Config.Patience, and then left to the next delivery.
//   - A purge takes an index of a past month out whole where nothing else is in it; no document that is not purged goes with
//     it, whatever other processes write meanwhile.
//   - An answer holds entries of the asked tenant only, whole or not at all: a shard that does not answer is an error.
//   - A question asks too much only when the server used up the time for it at work on it; whatever waited in its queue,
//     or was turned away for its load, is fault.Overloaded, to be asked again.
//   - Criteria mean what criteria.Match says; package searchtest compares both, and a test this index with the embedded
//     one.
//
// What is not: the words of an erased or purged entry are found no more when Apply has returned and Visible has passed,
// but they leave the server's files with the next scrub (Config.Scrub), and snapshots that an operator took keep them.
//
// Indices are named <prefix>-g<generation>-<group>-<month>, and -2 and so on after one was dropped: the month of
// recorded_at, and a group that is a retention class or one tenant alone. The alias <prefix> holds those of the live
// generation; a rebuild fills the next generation beside it and swaps the alias.
package opensearch
