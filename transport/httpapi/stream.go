package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/query"
	"auditlog/transport/httpapi/auth"
)

// Why a stream ends, beside errDraining and *query.LaggedError.
var (
	errCredential = errors.New("the credential is no longer valid")
	errClientGone = errors.New("the client is gone")
)

// wire is a connection that stream messages go out on: WebSocket or Server-Sent Events.
type wire interface {
	// send delivers one message of a type. position is where a reader may resume after it. *query.LaggedError: delivered,
	// but too late for the reader to keep up.
	send(ctx context.Context, kind string, position eventstore.Position, message []byte) error
	// end closes the connection for a reason; position is where to resume.
	end(reason error, position eventstore.Position)
}

// stream serves the live stream over whichever protocol is asked for.
func (s *Server) stream(w http.ResponseWriter, r *request) error {
	websocket := headerHas(r.Header, "Upgrade", "websocket")
	if !websocket && !accepts(r.Header, "text/event-stream") {
		h := w.Header()
		h.Set("Upgrade", "websocket")
		h.Set("Connection", "Upgrade")
		return fault.New(fault.UpgradeRequired, "a stream is opened as a WebSocket, or with Accept: text/event-stream")
	}
	if err := s.checkOrigin(r); err != nil {
		return err
	}
	if websocket {
		if err := checkHandshake(w, r.Request); err != nil {
			return err
		}
	}
	c, err := r.args.criteria()
	if err != nil {
		return err
	}
	after, err := resumePosition(r, websocket)
	if err != nil {
		return err
	}
	ctx, seat, err := s.streams.enter(r.Context(), userKey{r.tenant, r.who.Subject})
	if err != nil {
		return err
	}
	defer s.streams.leave(seat)
	live, err := s.deps.Queries.Stream(ctx, r.reader(), after, c)
	if err != nil {
		return err
	}
	defer live.Close()
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	boundBuffer(connOf(ctx))
	if websocket {
		return s.serveWebSocket(ctx, w, r, live)
	}
	return s.serveEvents(ctx, w, r, live)
}

// resumePosition is where the stream starts: Last-Event-ID, which a reconnecting EventSource sends beside its first URL,
// goes before after. Nil is from now.
func resumePosition(r *request, websocket bool) (*eventstore.Position, error) {
	if last := r.Header["Last-Event-Id"]; !websocket && len(last) > 0 {
		n, err := afterParam.integer(last[0])
		if err != nil || len(last) > 1 {
			return nil, fault.New(fault.Invalid, "Last-Event-ID is the position of the last event that was seen")
		}
		position := eventstore.Position(n.(int64))
		return &position, nil
	}
	if !r.args.has("after") {
		return nil, nil
	}
	position := eventstore.Position(r.args.integer("after"))
	return &position, nil
}

// checkOrigin refuses pages of other origins. A request without Origin is no browser's, or of the same origin.
func (s *Server) checkOrigin(r *request) error {
	for _, origin := range r.Header["Origin"] {
		if slices.Contains(s.cfg.Origins, origin) {
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return fault.New(fault.BadOrigin, "pages of this origin may not open a stream")
		}
	}
	return nil
}

// pump carries a stream's items to a wire until either ends, with a heartbeat when its time has come. It gives the
// reason and the position to resume after.
func (s *Server) pump(ctx context.Context, r *request, live *query.Stream, out wire) (reason error, at eventstore.Position) {
	at = live.Position()
	beat := time.Now().Add(s.cfg.Stream.Heartbeat)
	check := s.nextCheck(r.who)
	buf := borrow()
	defer giveBack(buf)
	for {
		item, err := nextUntil(ctx, live, earlier(beat, check))
		switch {
		case err == nil:
			buf.Reset()
			if err := out.send(ctx, item.Type, item.Position, appendItem(buf.AvailableBuffer(), &item)); err != nil {
				return unsent(err), at
			}
			at = item.Position
		case !errors.Is(err, errTick):
			return err, at
		}
		now := time.Now()
		if !now.Before(check) {
			if err := s.recheck(ctx, r); err != nil {
				return err, at
			}
			check = s.nextCheck(r.who)
		}
		if err != nil && !now.Before(beat) { // between two items, so nothing passed is still to be sent
			at = live.Position()
			if err := out.send(ctx, "heartbeat", at, appendPosition(nil, "heartbeat", at)); err != nil {
				return unsent(err), at
			}
		}
		if !now.Before(beat) {
			beat = now.Add(s.cfg.Stream.Heartbeat)
		}
	}
}

// unsent is why a stream ends whose wire gave an error.
func unsent(err error) error {
	var lagged *query.LaggedError
	if errors.As(err, &lagged) {
		return err
	}
	return errors.Join(errClientGone, err)
}

// errTick says that it is time to look at the clock.
var errTick = errors.New("time for a heartbeat or a check")

// nextUntil waits for the next item until a time. An interrupted wait loses nothing: the feed moves on only when it
// delivers.
func nextUntil(ctx context.Context, live *query.Stream, until time.Time) (query.StreamItem, error) {
	limited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	item, err := live.Next(limited)
	switch {
	case err == nil:
		return item, nil
	case ctx.Err() != nil:
		return item, context.Cause(ctx)
	case limited.Err() != nil:
		return item, errTick
	}
	return item, err
}

// nextCheck is when to look at the credential again: after a while, and when it expires.
func (s *Server) nextCheck(who *auth.Principal) time.Time {
	left := who.Expires.Add(auth.Leeway).Sub(s.cfg.Now())
	return time.Now().Add(max(0, min(s.cfg.Stream.Recheck, left)))
}

// recheck tells whether the stream may go on.
func (s *Server) recheck(ctx context.Context, r *request) error {
	if !s.cfg.Now().Before(r.who.Expires.Add(auth.Leeway)) {
		return errCredential
	}
	_, err := s.deps.Commands.Tenant(ctx, r.tenant)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.TenantInactive) {
		return errCredential
	}
	return nil // a store that does not answer now is no reason to end a stream
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// appendItem appends {"type":…,"entry":…}.
func appendItem(b []byte, item *query.StreamItem) []byte {
	b = append(b, `{"type":"`...)
	b = append(b, item.Type...)
	b = append(b, `","entry":`...)
	return append(item.Entry.AppendJSON(b), '}')
}

// appendPosition appends {"type":…,"position":…}.
func appendPosition(b []byte, kind string, at eventstore.Position) []byte {
	b = append(b, `{"type":"`...)
	b = append(b, kind...)
	b = append(b, `","position":`...)
	return append(strconv.AppendInt(b, int64(at), 10), '}')
}
