// Package migrations holds the numbered SQL of each SQL store, embedded in the binary. One folder per database file or
// server; goose runs what is new at start.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed sqlite
var files embed.FS

// SQLite is the folder of one of the embedded tier's files, e.g. "events".
func SQLite(name string) fs.FS {
	sub, err := fs.Sub(files, "sqlite/"+name)
	if err != nil {
		panic(err) // only a malformed constant can do it
	}
	return sub
}
