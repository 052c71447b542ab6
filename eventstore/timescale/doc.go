// Package timescale keeps the promises of package eventstore in PostgreSQL, through pgx: on TimescaleDB as a hypertable,
// on plain PostgreSQL as a table with native partitions. Which of them a database has is found when it is migrated.
//
// # Appends
//
// A shard's head is a row; whoever holds its lock appends, so offsets and positions are dense and in commit order
// whoever reads, and recorded_at, the database's clock under that lock, never steps back. A small flush is one statement
// and one round trip; the events of a large one follow that statement by COPY, and commit with it. The statement relies on
// nothing but rows that it locks and unique indexes, never on what its snapshot shows, since one that waited for the lock
// has an old one. A flush that it cannot decide (a known key or flush id, a draft about an entry, a clock that is behind)
// changes nothing and runs as a transaction that looks before it writes.
//
// Append returns after the commit, and a connection to a server, database or role with fsync, full_page_writes or
// synchronous_commit off is refused. A connection that breaks leaves the outcome unknown; Append sends the flush again,
// which its id makes safe, and reports fault.Unavailable when that fails too. A context ends the wait for a connection,
// but not a flush that has begun.
//
// # Reads
//
// Events lie in chunks by recorded_at, while readers ask by number. Small tables of marks tell the first number of each
// chunk, so a page opens the chunk that holds it and no other; an event by id is looked for around the time in its
// UUIDv7 first. Each page is a statement of its own: no read holds a snapshot longer.
//
// # Roles
//
// The owner migrates. The service may select and insert events and nothing more: no update, no delete, no truncate, and
// no way to change tables, except that it may have the next native partition made. Only the lifecycle role removes: events
// one by one, once a purge's leaves are kept, and then the chunks that hold none any more. No role can have a chunk
// dropped that holds an event, since a function of the owner does it and looks.
//
// # Old chunks
//
// Tend drops empty chunks, and on the Community tier turns old ones into columns, which read the same. A worker calls it
// now and then; the server runs no job and no policy.
//
// # Waking
//
// After a commit the process tells its own waiters at once and others by NOTIFY, many commits in one: a NOTIFY inside of
// the append would make all commits of the database queue for one lock. What a crash or a lost connection keeps from
// being told shows within a second, when the listener compares the shards' heads.
package timescale
