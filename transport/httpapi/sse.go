package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"auditlog/eventstore"
	"auditlog/query"
)

// serveEvents streams as Server-Sent Events (HTML Living Standard §9.2). The id of each event is the position to resume
// after, so a browser's EventSource comes back to the right place by itself.
func (s *Server) serveEvents(ctx context.Context, w http.ResponseWriter, r *request, live *query.Stream) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // or a proxy holds events back
	out, err := newEvents(w, connOf(ctx), s.cfg.Stream.WriteTimeout)
	if err != nil {
		return err
	}
	if err := out.write([]byte(": auditlog\n\n")); err != nil { // shows the client that it is connected
		return err
	}
	reason, at := s.pump(ctx, r, live, out)
	if errors.Is(reason, errClientGone) {
		return reason // cuts the answer, which must not look ended
	}
	out.end(reason, at)
	writeBy(w, s.cfg.Stream.WriteTimeout) // for the end of the answer
	return nil
}

// events is a wire over Server-Sent Events.
type events struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	cut      *time.Timer // ends a write that blocks for good
	buf      bytes.Buffer
}

func newEvents(w http.ResponseWriter, network net.Conn, patience time.Duration) (*events, error) {
	e := &events{w: w, control: http.NewResponseController(w), patience: patience}
	if err := e.control.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	e.cut = time.AfterFunc(time.Hour, func() {
		reset(network) // before the write fails, since net/http then closes the connection at once
		_ = e.control.SetWriteDeadline(time.Unix(1, 0))
	})
	e.cut.Stop()
	return e, nil
}

func (e *events) send(_ context.Context, kind string, position eventstore.Position, message []byte) error {
	e.buf.Reset()
	e.buf.WriteString("event: " + kind + "\nid: " + strconv.FormatInt(int64(position), 10) + "\ndata: ")
	e.buf.Write(message) // JSON as we write it holds no line breaks
	e.buf.WriteString("\n\n")
	start := time.Now()
	if err := e.write(e.buf.Bytes()); err != nil {
		return err
	}
	return late(start, e.patience, position)
}

func (e *events) write(b []byte) error {
	e.cut.Reset(writePatience * e.patience)
	defer e.cut.Stop()
	if _, err := e.w.Write(b); err != nil {
		return err
	}
	return e.control.Flush()
}

// end tells a reader that fell behind; any other end is the end of the answer, after which the client comes back with
// the last id. Errors are dropped: the connection is over.
func (e *events) end(reason error, at eventstore.Position) {
	var lagged *query.LaggedError
	if errors.As(reason, &lagged) {
		_ = e.send(context.Background(), "lagged", lagged.After, appendPosition(nil, "lagged", lagged.After))
		return
	}
	if errors.Is(reason, errDraining) {
		_ = e.send(context.Background(), "heartbeat", at, appendPosition(nil, "heartbeat", at))
	}
}
