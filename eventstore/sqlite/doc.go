// Package sqlite keeps the promises of package eventstore in one SQLite file, for the embedded tier.
//
// There is one shard, 0, whose offset is the row id. One writer at a time holds the store's only writing connection;
// a flush is one transaction with synchronous=FULL, so what Append acknowledged is on the disk. The heads of the log
// are its newest rows: the writer keeps them in memory and reads them again after any error. Readers use a pool of
// connections that cannot write, and hold a snapshot for one page at most.
//
// One process opens the file at a time; whoever wires the service locks the data directory.
//
// A full disk and I/O errors are fault.Unavailable: nothing of the flush is stored, and appends work again as soon as
// the disk does. A context ends the wait for the writer, but not a flush that has begun: whether a draft was stored
// must not depend on when its client left.
package sqlite
