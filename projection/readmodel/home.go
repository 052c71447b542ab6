package readmodel

import (
	"cmp"
	"context"

	"auditlog/projection/generation"
)

// Home is where projections live: a Folder or a Database.
type Home interface{ home() }

// Folder is the home of one process: SQLite files in the folder dir.
func Folder(dir string) Home { return folder(dir) }

type folder string

func (folder) home() {}

// DatabaseOptions of a database of projections. The zero value is what production uses.
type DatabaseOptions struct {
	// Schema holds the list of live generations. A generation's tables are in a schema of their own, whose name begins
	// with this one: projections_stats_1. Default "projections".
	Schema string
	// Conns is how many connections write, and how many read, for each projection at most. Default 4.
	Conns int
}

// Database is the home of any number of processes: the database on PostgreSQL at an address, a URL or a keyword string as
// libpq takes it. Prepare must have been called for it.
func Database(address string, o DatabaseOptions) Home {
	o.Schema = cmp.Or(o.Schema, "projections")
	o.Conns = cmp.Or(o.Conns, 4)
	return database{address, o}
}

type database struct {
	address string
	o       DatabaseOptions
}

func (database) home() {}

func (d database) list() generation.List {
	return generation.List{Address: d.address, Schema: d.o.Schema}
}

// Prepare makes, or brings up to date, what a Database needs before its first Open, as the role that owns the database:
// the list of generations. service is the role of the address that Database gets; it may then use the list and create
// schemas in the database, whose tables it owns. A role that is missing is created without login.
func Prepare(ctx context.Context, owner, service string, o DatabaseOptions) error {
	return Database(owner, o).(database).list().Prepare(ctx, owner, service)
}
