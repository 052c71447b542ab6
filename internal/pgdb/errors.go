package pgdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"auditlog/internal/fault"
)

// The SQLSTATEs (PostgreSQL manual, appendix A) that callers tell apart.
const (
	UniqueViolation = "23505"
	CheckViolation  = "23514" // also: no partition for a row
	queryCanceled   = "57014" // by statement_timeout, when no context ended
	readOnly        = "25006"
)

// State is the SQLSTATE of an error; empty when the server did not answer with one.
func State(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// Constraint is the name of the constraint that an error is about.
func Constraint(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.ConstraintName
	}
	return ""
}

// Lost tells that the connection ended, or could not be made: whether the statement took place is unknown.
func Lost(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok { // whatever the server said to it
		return true
	}
	if state := State(err); state != "" {
		return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P")
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(err.Error(), "conn closed")
}

// Translate gives an error its kind. Errors that have one, and those of a context, pass; pgx.ErrNoRows is a defect by
// the time it gets here.
func Translate(doing string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
		return err
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	state := State(err)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return wrapped
	case errors.Is(err, ErrNotDurable):
		return fault.Wrap(fault.Unavailable, wrapped, "the database does not keep what it acknowledges")
	case Lost(err):
		return fault.Wrap(fault.Unavailable, wrapped, "the database does not answer")
	case state == queryCanceled:
		return fault.Wrap(fault.Unavailable, wrapped, "the database took too long")
	case state == readOnly:
		return fault.Wrap(fault.Unavailable, wrapped, "the database takes no writes now")
	case strings.HasPrefix(state, "53"): // disk full, out of memory, too many connections
		return fault.Wrap(fault.Unavailable, wrapped, "the database has no room")
	}
	return wrapped
}
