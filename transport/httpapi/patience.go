package httpapi

import (
	"context"
	"net"
	"time"

	"auditlog/eventstore"
	"auditlog/query"
)

// A client of a stream holds nothing of ours but the message that is being written to it and what the kernel keeps for
// its connection, which is bounded. A write that takes longer than StreamConfig.WriteTimeout marks the client as fallen
// behind: it is told so, and where to resume, as soon as it reads again. One that takes writePatience times as long is
// given up, and the connection reset.

// writePatience is how many write timeouts a client has to read again before its connection is reset.
const writePatience = 2

// streamBuffer bounds what the kernel keeps for a stream's client, in bytes; Linux takes twice as much, so 1 MiB.
const streamBuffer = 512 << 10

// late tells whether a write that came through took so long that the client has fallen behind, at a position.
func late(start time.Time, patience time.Duration, at eventstore.Position) error {
	if time.Since(start) > patience {
		return &query.LaggedError{After: at}
	}
	return nil
}

type connKey struct{}

// withConn is http.Server.ConnContext: it lets a stream reach its own connection.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// connOf is the connection of a request; nil when a server that is not ours serves the handler.
func connOf(ctx context.Context) net.Conn {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	return conn
}

// boundBuffer keeps the kernel from holding more than streamBuffer for a client that does not read.
func boundBuffer(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(streamBuffer) // a bound that cannot be set is the kernel's own
	}
}

// reset has the next close of a connection drop what was not sent, and tell the other end at once.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}
