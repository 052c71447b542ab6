package pgdb

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The SQLSTATEs of a refused connection.
const (
	badLogin    = "28000" // no such role, or it may not log in, or not from here
	badPassword = "28P01"
	noDatabase  = "3D000"
)

// Forbidden is the SQLSTATE of a missing privilege.
const Forbidden = "42501"

// connectError says in one line why there is no connection, and what to do about it. The error below it stays in reach.
type connectError struct {
	text string
	err  error
}

func (e *connectError) Error() string { return e.text }
func (e *connectError) Unwrap() error { return e.err }

// explain makes the errors of a connection that cannot be had plain; others pass.
func explain(cfg *pgx.ConnConfig, err error) error {
	connect, ok := errors.AsType[*pgconn.ConnectError](err)
	if !ok {
		return err
	}
	place := net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	if strings.HasPrefix(cfg.Host, "/") {
		place = cfg.Host
	}
	role, database := strconv.Quote(cfg.User), strconv.Quote(cfg.Database)
	var text string
	server, _ := errors.AsType[*pgconn.PgError](err)
	switch {
	case server == nil:
		text = fmt.Sprintf("no connection to PostgreSQL at %s: %s", place, oneLine(connect.Unwrap()))
	case server.Code == badPassword:
		text = fmt.Sprintf("PostgreSQL at %s refuses the password of the role %s", place, role)
	case server.Code == badLogin && strings.Contains(server.Message, "not permitted to log in"):
		text = fmt.Sprintf("the role %s may not log in to PostgreSQL at %s: run ALTER ROLE %s LOGIN PASSWORD '…' there", role, place, pgx.Identifier{cfg.User}.Sanitize())
	case server.Code == badLogin:
		text = fmt.Sprintf("PostgreSQL at %s refuses the role %s: %s", place, role, server.Message)
	case server.Code == noDatabase:
		text = fmt.Sprintf("PostgreSQL at %s has no database %s: create it, then run auditlog migrate", place, database)
	default:
		text = fmt.Sprintf("PostgreSQL at %s refuses the connection to the database %s as %s: %s", place, database, role, server.Message)
	}
	return &connectError{text, err}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
