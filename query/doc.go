// Package query is the read side: one file per use case.
//
// What every answer keeps: it is the reader's own tenant's; an entry shows its amendments and honours its erasure as of
// the moment it was read, however far a projection lags, since entries are always folded from the event store; purged
// events are in no answer; and an answer that counts or lists says up to which position it is complete.
//
// Listings are stable while entries arrive: all pages of a walk answer for the log up to the position that the first
// page was complete to, and no entry is repeated or skipped. An entry that is erased or purged between two pages drops
// out of the later ones, or reads as erased.
//
// Errors are *fault.Error where a reader can do something about them: Invalid and its like for the question, BadCursor
// and CursorExpired for cursors, NotFound, Purged, Forbidden, Behind, QueryTooCostly for a question that asks too much and
// Overloaded for a service that has too much to do. Everything else is Internal, or the kind that the store gave.
package query
