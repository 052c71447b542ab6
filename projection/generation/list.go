package generation

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"auditlog/internal/pgdb"
	"auditlog/migrations"
)

// List is where a database on PostgreSQL lists the live generations of its projections.
type List struct {
	Address string
	Schema  string // its own, and the beginning of the names of those that hold generations
}

func (l List) schema() pgdb.Schema {
	return pgdb.Schema{Name: l.Schema, Files: migrations.Postgres("projections")}
}

// Prepare makes the list, as the role that owns the database, and lets the role service use it and make schemas.
func (l List) Prepare(ctx context.Context, owner, service string) error {
	if err := l.schema().Migrate(ctx, owner, l.searchPath()); err != nil {
		return err
	}
	cfg, err := pgx.ParseConfig(owner)
	if err != nil {
		return err
	}
	return l.schema().Grant(ctx, owner, service,
		`INSERT, UPDATE ON `+l.table(), `CREATE ON DATABASE `+pgx.Identifier{cfg.Database}.Sanitize())
}

func (l List) searchPath() map[string]string {
	return map[string]string{"search_path": pgx.Identifier{l.Schema}.Sanitize()}
}

func (l List) table() string { return pgx.Identifier{l.Schema, "generations"}.Sanitize() }

// of is the schema of a generation.
func (l List) of(name string, n int64) string { return l.prefix(name) + strconv.FormatInt(n, 10) }

func (l List) prefix(name string) string { return l.Schema + "_" + name + "_" }

// key is that of an advisory lock: what the words name, in this list.
func (l List) key(words ...string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("auditlog projections " + l.Schema + " " + strings.Join(words, " "))) // it never fails
	return int64(h.Sum64())
}

// slow bounds a statement of a session: to fill and compare generations takes time.
const slow = 10 * time.Minute

// session is a connection for what is no business of the pools: lists, schemas, and locks that it holds until it ends.
type session struct {
	List
	conn *pgx.Conn
}

// connect makes a session. When its client vanishes without a word, the server ends it, and its locks, within half a minute.
func (l List) connect(ctx context.Context) (*session, error) {
	conn, err := pgdb.Connect(ctx, l.Address, pgdb.Options{StatementTimeout: slow})
	if err != nil {
		return nil, err
	}
	return &session{l, conn}, nil
}

// close ends the session; its locks go in any case, so an error says nothing.
func (s *session) close(ctx context.Context) { _ = s.conn.Close(context.WithoutCancel(ctx)) }

// lock waits for an advisory lock that only this session then has.
func (s *session) lock(ctx context.Context, words ...string) error {
	_, err := s.conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, s.key(words...))
	return err
}

func (s *session) unlock(ctx context.Context, words ...string) error {
	_, err := s.conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, s.key(words...))
	return err
}

// tryLock tells whether it got the lock.
func (s *session) tryLock(ctx context.Context, words ...string) (got bool, err error) {
	err = s.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, s.key(words...)).Scan(&got)
	return got, err
}

// live is the number of the live generation; 0 when there is none.
func (s *session) live(ctx context.Context, name string) (n int64, err error) {
	err = s.conn.QueryRow(ctx, `SELECT live FROM `+s.table()+` WHERE name = $1`, name).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// ensure makes or brings up to date the schema of a generation. When it is as it should be, nothing is written, and
// nothing locked.
func (s *session) ensure(ctx context.Context, name string, n int64) error {
	schema := pgdb.Schema{Name: s.of(name, n), Files: migrations.Postgres(name)}
	err := schema.Check(ctx, s.conn)
	if !errors.Is(err, pgdb.ErrOlder) {
		return err
	}
	if err := s.lock(ctx, "make"); err != nil {
		return err
	}
	err = schema.Migrate(ctx, s.Address, map[string]string{"search_path": pgx.Identifier{schema.Name}.Sanitize()})
	return errors.Join(err, s.unlock(ctx, "make"))
}

// first makes the first generation of a projection, unless another process was faster.
func (s *session) first(ctx context.Context, name string) (n int64, err error) {
	if err := s.lock(ctx, "first", name); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.unlock(context.WithoutCancel(ctx), "first", name)) }()
	if n, err = s.live(ctx, name); err != nil || n > 0 {
		return n, err
	}
	if err := s.ensure(ctx, name, 1); err != nil {
		return 0, err
	}
	_, err = s.conn.Exec(ctx, `INSERT INTO `+s.table()+` (name, live) VALUES ($1, 1)`, name)
	return 1, err
}

// removeOthers drops the schemas of every generation but the live one: what crashed rebuilds left.
func (s *session) removeOthers(ctx context.Context, name string) error {
	n, err := s.live(ctx, name)
	if err != nil {
		return err
	}
	rows, err := s.conn.Query(ctx, `SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname::text, $1)`, s.prefix(name))
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, schema := range all {
		g, err := strconv.ParseInt(strings.TrimPrefix(schema, s.prefix(name)), 10, 64)
		if err != nil || g == n { // another list's, with a longer name
			continue
		}
		if err := s.drop(ctx, s.conn, name, g); err != nil {
			return err
		}
	}
	return nil
}

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func (s *session) drop(ctx context.Context, on execer, name string, n int64) error {
	_, err := on.Exec(ctx, `DROP SCHEMA IF EXISTS `+pgx.Identifier{s.of(name, n)}.Sanitize()+` CASCADE`)
	return err
}

// swap makes generation next live and removes the one before, both or neither: who still reads that one meets an error
// that tells, never an old answer. Its readers end soon; one that locks its tables in another order is a deadlock, which
// is tried again.
func (s *session) swap(ctx context.Context, name string, n, next int64) (err error) {
	for range maxTries {
		err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, `UPDATE `+s.table()+` SET live = $1 WHERE name = $2 AND live = $3`, next, name, n)
			if err != nil {
				return err
			}
			if tag.RowsAffected() != 1 {
				return fmt.Errorf("generation %d of %s is not live any more", n, name)
			}
			return s.drop(ctx, tx, name, n)
		})
		if !again(err) {
			return err
		}
	}
	return err
}

// maxTries bounds how often something is tried that meets deadlocks, or generations that go.
const maxTries = 5

// again tells of errors after which the same transaction may well succeed: a deadlock, a conflict of snapshots.
func again(err error) bool {
	state := pgdb.State(err)
	return state == "40P01" || state == "40001"
}
