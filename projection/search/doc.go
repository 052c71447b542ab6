// Package search is the embedded full text index: one SQLite file with FTS5, kept by envelopes and asked by queries.
//
// What is guaranteed:
//
//   - Any order and duplication of the same events gives the same documents (Dump): a document is written only when it
//     holds at least the newest event of the one that is there, and amendments and erasures build it from the store.
//   - A document and the range that made it commit together; Visible is the first gap, so whatever lies at or below it
//     is found.
//   - When Apply of an erasure or purge has returned, the text is in no file of the index: tokens are overwritten on
//     deletion and the write-ahead log is emptied.
//   - An answer holds entries of the asked tenant only, and costs nothing for what other tenants store: every token begins
//     with its tenant and kind.
//   - Criteria mean what criteria.Match says; package searchtest compares both.
//
// A damaged file is removed and filled anew by the sweeper, since progress lies in the file (package generation). No call
// holds a transaction longer than one page of an answer.
package search
