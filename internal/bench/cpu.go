package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// tick is the unit of /proc/<pid>/stat, on every Linux.
const tick = 10 * time.Millisecond

// stat is a process's parent and the CPU time that it has used.
func stat(pid int) (parent int, used time.Duration, err error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:])) // the name before may hold anything
	var user, system int
	for _, f := range []struct {
		at int
		to *int
	}{{1, &parent}, {11, &user}, {12, &system}} {
		if len(fields) <= f.at {
			return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
		}
		if *f.to, err = strconv.Atoi(fields[f.at]); err != nil {
			return 0, 0, err
		}
	}
	return parent, time.Duration(user+system) * tick, nil
}

// meter adds up the CPU time of the database: the backends of some databases, and the server's own processes, which
// write for all of them. It needs the server on this machine.
type meter struct {
	db        *pgx.Conn
	databases []string
	postgres  int // the postmaster
	seen      map[int]time.Duration
}

// errElsewhere says that the database's processes cannot be looked at.
var errElsewhere = errors.New("the database runs on another machine")

func newMeter(ctx context.Context, db *pgx.Conn, databases []string) (*meter, error) {
	m := &meter{db: db, databases: databases, seen: map[int]time.Duration{}}
	backend := int(db.PgConn().PID())
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(backend), "comm"))
	if err != nil || !strings.HasPrefix(string(name), "postgres") {
		return nil, errElsewhere
	}
	if m.postgres, _, err = stat(backend); err != nil {
		return nil, errElsewhere
	}
	return m, nil
}

// used is what they have used so far. A backend that ended counts with what it had used when it was last seen.
func (m *meter) used(ctx context.Context) (sum time.Duration, err error) {
	rows, err := m.db.Query(ctx, `
		SELECT pid FROM pg_stat_activity
		WHERE datname = ANY ($1) OR datname IS NULL AND backend_type <> 'parallel worker'`, m.databases)
	if err != nil {
		return 0, err
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return 0, err
	}
	for _, pid := range append(pids, m.postgres) {
		if _, used, err := stat(pid); err == nil { // else it has ended
			m.seen[pid] = used
		}
	}
	for _, used := range m.seen {
		sum += used
	}
	return sum, nil
}
