// Package app wires the embedded tier: one process, one data dir, every part of the line from HTTP to the projections.
//
// Start returns once the service can take an entry; a failure names the setting that it is about and leaves nothing
// running. Parts start against the flow of data and stop with it, so that what was accepted is also finished: listeners
// and requests first, then the appender, the relay, the bus, the projections, and the files last. Only one process uses
// a data dir at a time.
//
// What lies in the data dir:
//
//	lock                     held while a process uses the dir
//	jwt.secret               signs tokens, and cursors by a key derived from it; made at the first start
//	keys/                    the keyring (AUDITLOG_KEYS)
//	events.db                the event store: the only file that cannot be made again
//	search-N.db, stats-N.db, find-N.db, forget-N.db    projections; removed or damaged ones are built anew from events.db
//	relay.db                 cursors of the relay, and what projections had to set aside
package app
