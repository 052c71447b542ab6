// Package postgres keeps what the relays of many processes share in a PostgreSQL database: who publishes which shard, how
// far each destination is, and what projections parked.
//
// A lease is a row per shard: its holder, an epoch that grows with each holder, and a time by the database's clock. One
// goroutine per process renews everything that the process holds, in one statement, three times in a lease's life; it
// takes what is free up to the process's share, and gives up what is beyond it when others come. A lease that is given
// back is taken at once; that of a process which died, or does not run, when its life is over. A held context ends
// before the lease does, by this process's clock from the moment it last asked, unless the process stands still.
//
// A process that stood still and does not know that its lease is over moves no cursor: Save asks in one statement for
// the holder and the epoch. An envelope that it still sends covers a range that the next holder sends too.
//
// Cursors and parked ranges survive a crash of any process. A crash of the server may take back the last moment of the
// cursors: those envelopes are published again. When the server is away nothing is published once the leases are over;
// everything goes on by itself when it is back.
//
// It listens for notifications: a pooler between this package and the server must keep sessions whole.
package postgres
