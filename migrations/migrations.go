// Package migrations holds the numbered SQL of each SQL store, embedded in the binary. One folder per database file or
// server; goose runs what is new at start.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed sqlite postgres
var files embed.FS

// SQLite is the folder of one of the embedded tier's files, e.g. "events".
func SQLite(name string) fs.FS { return folder("sqlite/" + name) }

// Postgres is the folder of one schema on PostgreSQL, e.g. "events".
func Postgres(name string) fs.FS { return folder("postgres/" + name) }

func folder(path string) fs.FS {
	sub, err := fs.Sub(files, path)
	if err != nil {
		panic(err) // only a malformed constant can do it
	}
	return sub
}
