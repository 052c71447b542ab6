package projtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/pgdb/pgtest"
	"auditlog/projection/readmodel"
)

// Homes runs a test for each kind of home. It needs pgtest.Main as the package's TestMain.
func Homes(t *testing.T, test func(t *testing.T, homes Maker)) {
	t.Run("SQLite", func(t *testing.T) { test(t, folders{}) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, NewDatabases(t)) })
}

// Maker makes empty homes of one kind.
type Maker interface {
	New(tb testing.TB) readmodel.Home
	// Shared tells that several processes may share the homes.
	Shared() bool
	// copier gives homes whose tables are made and empty, again and again.
	copier(tb testing.TB, open func(home readmodel.Home) Dumper) (fresh func() readmodel.Home)
}

type folders struct{}

func (folders) New(tb testing.TB) readmodel.Home { return readmodel.Folder(tb.TempDir()) }

func (folders) Shared() bool { return false }

// copier copies the folder of a projection that was opened once: making the tables costs more than filling them.
func (folders) copier(tb testing.TB, open func(home readmodel.Home) Dumper) func() readmodel.Home {
	empty := tb.TempDir()
	must(tb, open(readmodel.Folder(empty)).Close())
	return func() readmodel.Home {
		dir := filepath.Join(tb.TempDir(), "copy")
		must(tb, os.CopyFS(dir, os.DirFS(empty)))
		return readmodel.Folder(dir)
	}
}

// Databases makes homes in a database of the test, as a role that may do no more than a service.
type Databases struct {
	Owner   string // address of the database's owner
	Service string // address of the role that uses the homes
	n       atomic.Int64
}

// NewDatabases makes the database.
func NewDatabases(tb testing.TB) *Databases {
	tb.Helper()
	owner := pgtest.Database(tb)
	return &Databases{Owner: owner, Service: pgtest.As(tb, owner, service)}
}

const service = "auditlog_service_of_projections"

// New implements Maker.
func (d *Databases) New(tb testing.TB) readmodel.Home {
	tb.Helper()
	return readmodel.Database(d.Service, d.Prepare(tb))
}

// Prepare makes a list of projections; with the result it is a home in the database.
func (d *Databases) Prepare(tb testing.TB) readmodel.DatabaseOptions {
	tb.Helper()
	o := readmodel.DatabaseOptions{Schema: fmt.Sprintf("p%d", d.n.Add(1))}
	must(tb, readmodel.Prepare(context.Background(), d.Owner, service, o))
	return o
}

// Shared implements Maker.
func (d *Databases) Shared() bool { return true }

// copier empties the tables of one home.
func (d *Databases) copier(tb testing.TB, open func(home readmodel.Home) Dumper) func() readmodel.Home {
	o := d.Prepare(tb)
	home := readmodel.Database(d.Service, o)
	must(tb, open(home).Close())
	conn, err := pgx.Connect(context.Background(), d.Service)
	must(tb, err)
	tb.Cleanup(func() { must(tb, conn.Close(context.Background())) })
	rows, err := conn.Query(context.Background(), `
		SELECT format('DELETE FROM %I.%I', schemaname, tablename) FROM pg_tables
		WHERE starts_with(schemaname, $1) AND tablename <> 'schema_versions'`, o.Schema+"_")
	must(tb, err)
	deletes, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(tb, err)
	return func() readmodel.Home {
		_, err := conn.Exec(context.Background(), strings.Join(deletes, ";"))
		must(tb, err)
		return home
	}
}
