package httpapi

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/query"
)

// maxInbound bounds a message from a client, in bytes.
const maxInbound = 4 << 10

// headerHas tells whether a header's comma lists hold a token, in any case.
func headerHas(h http.Header, name, token string) bool {
	for _, value := range h.Values(name) {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// checkHandshake refuses what is no WebSocket handshake (RFC 6455 §4.2.1), as problems.
func checkHandshake(w http.ResponseWriter, r *http.Request) error {
	switch {
	case r.ProtoMajor != 1 || !headerHas(r.Header, "Connection", "Upgrade"):
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		return fault.New(fault.UpgradeRequired, "a WebSocket handshake is HTTP/1.1 with Connection: Upgrade")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		w.Header().Set("Sec-WebSocket-Version", "13")
		return fault.New(fault.UpgradeRequired, "the WebSocket version is 13")
	}
	keys := r.Header.Values("Sec-WebSocket-Key")
	if len(keys) == 1 {
		if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0])); err == nil && len(key) == 16 {
			return nil
		}
	}
	return fault.New(fault.Malformed, "Sec-WebSocket-Key is given once: 16 bytes in base64")
}

// serveWebSocket upgrades the connection and streams. From here on errors are close codes, not problems.
func (s *Server) serveWebSocket(ctx context.Context, w http.ResponseWriter, r *request, live *query.Stream) error {
	// Origin and handshake were checked, with problems for answers.
	conn, err := websocket.Accept(w, r.Request, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxInbound)
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{}, 2)
	go func() { cancel(listen(ctx, conn)); done <- struct{}{} }()
	go func() { cancel(s.ping(ctx, conn)); done <- struct{}{} }()

	out := newSocket(conn, connOf(ctx), s.cfg.Stream.WriteTimeout)
	reason, at := s.pump(ctx, r, live, out)
	out.end(reason, at)
	cancel(reason)
	_ = conn.CloseNow() // frees the reader, should the client not have answered the close
	<-done
	<-done
	return nil
}

// closeError is why a client's own frames end the connection.
type closeError struct {
	code   websocket.StatusCode
	reason string
}

func (e *closeError) Error() string { return e.reason }

// listen reads what the client sends until the connection ends. There are no commands, so any message ends it.
func listen(ctx context.Context, conn *websocket.Conn) error {
	kind, message, err := conn.Read(context.WithoutCancel(ctx)) // a cancelled Read would cut the connection before its close frame
	switch {
	case err != nil:
		return errors.Join(errClientGone, err)
	case kind == websocket.MessageBinary:
		return &closeError{websocket.StatusUnsupportedData, "binary messages are not understood"}
	case !utf8.Valid(message):
		return &closeError{websocket.StatusInvalidFramePayloadData, "the message is not UTF-8"}
	}
	return &closeError{websocket.StatusPolicyViolation, "this stream takes no commands; its parameters are in the URL"}
}

// ping keeps the connection known to be alive.
func (s *Server) ping(ctx context.Context, conn *websocket.Conn) error {
	tick := time.NewTicker(s.cfg.Stream.Ping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Stream.Pong)
		err := conn.Ping(limited)
		cancel()
		if err != nil {
			return errors.Join(errClientGone, err)
		}
	}
}

// socket is a wire over WebSocket.
type socket struct {
	conn     *websocket.Conn
	patience time.Duration
	cut      *time.Timer // ends a write that blocks for good
}

func newSocket(conn *websocket.Conn, network net.Conn, patience time.Duration) *socket {
	k := &socket{conn: conn, patience: patience}
	k.cut = time.AfterFunc(time.Hour, func() {
		reset(network)
		_ = conn.CloseNow() // fails the write
	})
	k.cut.Stop()
	return k
}

// send does not hand its context on: the library cuts a connection at once when the context of a write ends, where a close
// frame is due.
func (k *socket) send(_ context.Context, _ string, at eventstore.Position, message []byte) error {
	start := time.Now()
	k.cut.Reset(writePatience * k.patience)
	defer k.cut.Stop()
	if err := k.conn.Write(context.Background(), websocket.MessageText, message); err != nil {
		return err
	}
	return late(start, k.patience, at)
}

// end closes with the code that tells the client what to do next; the reason carries the position to resume after.
func (k *socket) end(reason error, at eventstore.Position) {
	var lagged *query.LaggedError
	var refused *closeError
	position := "position " + strconv.FormatInt(int64(at), 10)
	// A connection that is broken already cannot be told anything; hence the dropped errors.
	switch {
	case errors.As(reason, &refused):
		if refused.code == websocket.StatusPolicyViolation {
			_ = k.send(context.Background(), "error", at, []byte(`{"type":"error","detail":"`+refused.reason+`"}`))
		}
		_ = k.conn.Close(refused.code, refused.reason)
	case errors.Is(reason, errClientGone):
		_ = k.conn.Close(websocket.StatusTryAgainLater, position)
	case errors.As(reason, &lagged):
		_ = k.send(context.Background(), "lagged", lagged.After, appendPosition(nil, "lagged", lagged.After))
		_ = k.conn.Close(websocket.StatusTryAgainLater, "position "+strconv.FormatInt(int64(lagged.After), 10))
	case errors.Is(reason, errCredential):
		_ = k.conn.Close(websocket.StatusPolicyViolation, "the credential is no longer valid; "+position)
	case errors.Is(reason, errDraining):
		_ = k.conn.Close(websocket.StatusGoingAway, position)
	default:
		_ = k.conn.Close(websocket.StatusInternalError, position)
	}
}
