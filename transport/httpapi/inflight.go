package httpapi

import (
	"bytes"
	"io"

	"auditlog/internal/limit"
)

// InFlight bounds what a process has in hand at once, over all tenants; a tenant alone can have seven eighths of it. What
// finds no room is answered 503 at once, before its body is read. Zero values take the defaults, negative ones mean no bound.
type InFlight struct {
	Writes int   // requests. Default 512
	Reads  int   // requests, of which half may be exports and replays. Default 128
	Bodies int64 // bytes of request bodies. Default 64 MiB
}

// slots are the places that requests hold.
type slots struct {
	writes, reads, downloads *limit.Pool
	bodies                   *limit.Pool // in bytes
}

func newSlots(c InFlight) slots {
	s := slots{writes: limit.NewPool(int64(c.Writes), nil), reads: limit.NewPool(int64(c.Reads), nil), bodies: limit.NewPool(c.Bodies, nil)}
	if c.Reads > 0 {
		s.downloads = limit.NewPool(int64(max(c.Reads/2, 1)), nil)
	}
	return s
}

// enter takes a place for a request, which leave gives back.
func (s *Server) enter(r *request) error {
	key := r.tenantKey()
	switch {
	case r.route.load == noLoad:
		return nil
	case r.route.load == writing:
		if !s.slots.writes.Take(key, 1) {
			return full("writes", "too many writes are in progress", s.slots.writes)
		}
		r.place = s.slots.writes
		return nil
	case !s.slots.reads.Take(key, 1):
		return full("reads", "too many reads are in progress", s.slots.reads)
	}
	r.place = s.slots.reads
	if r.route.timeout != unbounded {
		return nil
	}
	if !s.slots.downloads.Take(key, 1) {
		return full("downloads", "too many exports and replays are in progress", s.slots.downloads)
	}
	r.download = s.slots.downloads
	return nil
}

// leave gives back all that a request holds.
func (s *Server) leave(r *request) {
	key := r.tenantKey()
	s.slots.bodies.Give(key, r.held)
	r.download.Give(key, 1)
	r.place.Give(key, 1)
	r.held, r.download, r.place = 0, nil, nil
}

// firstHold is what a body of unknown length holds at first, in bytes.
const firstHold = 16 << 10

// hold takes room for a body until it has n bytes of it.
func (s *Server) hold(r *request, n int64) error {
	if n <= r.held {
		return nil
	}
	if !s.slots.bodies.Take(r.tenantKey(), n-r.held) {
		return unread(full("bodies", "too many bytes of request bodies are in hand", s.slots.bodies), r.Request)
	}
	r.held = n
	return nil
}

// fill reads src to its end. It never holds more memory than was taken from the pool before: at first what the client
// announced, and beyond that, or without it, twice as much each time that what is held is full. most is what src can
// give.
func (s *Server) fill(r *request, buf *bytes.Buffer, src io.Reader, announced, most int64) error {
	first := min(firstHold, most)
	if announced > 0 {
		first = min(announced, most)
	}
	if err := s.hold(r, first+1); err != nil { // one more, so that the end shows
		return err
	}
	for {
		if int64(buf.Len()) >= r.held {
			if err := s.hold(r, min(2*r.held, most+1)); err != nil {
				return err
			}
		}
		room := max(int(r.held)-buf.Len(), 1)
		buf.Grow(room)
		n, err := src.Read(buf.AvailableBuffer()[:room])
		buf.Write(buf.AvailableBuffer()[:n])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
