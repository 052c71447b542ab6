package httpapi

import (
	"context"
	"errors"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
)

// errDraining ends streams when the server shuts down.
var errDraining = errors.New("the server is shutting down")

// streams counts and ends the live streams. Each one's goroutine is its request's; wait waits for all.
type streams struct {
	cfg StreamConfig

	mu        sync.Mutex // guards what follows
	perUser   map[userKey]int
	perTenant map[eventstore.TenantID]int
	cancels   map[*streamSeat]context.CancelCauseFunc
	closed    bool
	idle      chan struct{} // closed when the last stream leaves after closeAll
}

// streamSeat is one stream's place.
type streamSeat struct{ user userKey }

func newStreams(cfg StreamConfig) *streams {
	return &streams{
		cfg: cfg, perUser: map[userKey]int{}, perTenant: map[eventstore.TenantID]int{},
		cancels: map[*streamSeat]context.CancelCauseFunc{}, idle: make(chan struct{}),
	}
}

// enter takes a place, or refuses with RateLimited. The context ends with errDraining when the server shuts down.
func (s *streams) enter(ctx context.Context, user userKey) (context.Context, *streamSeat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(of string, size int) (context.Context, *streamSeat, error) {
		return nil, nil, tooManyAtOnce("streams-of-"+of, "too many streams of this "+of+" are open", size, 10*time.Second)
	}
	switch {
	case s.closed:
		return nil, nil, fault.New(fault.Unavailable, "this instance is shutting down")
	case s.perUser[user] >= s.cfg.PerUser:
		return refuse("user", s.cfg.PerUser)
	case s.perTenant[user.tenant] >= s.cfg.PerTenant:
		return refuse("tenant", s.cfg.PerTenant)
	case len(s.cancels) >= s.cfg.PerProcess:
		return refuse("process", s.cfg.PerProcess)
	}
	seat := &streamSeat{user}
	ctx, cancel := context.WithCancelCause(ctx)
	s.cancels[seat] = cancel
	s.perUser[user]++
	s.perTenant[user.tenant]++
	return ctx, seat, nil
}

// leave gives a place back.
func (s *streams) leave(seat *streamSeat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels[seat](context.Canceled)
	delete(s.cancels, seat)
	if s.perUser[seat.user]--; s.perUser[seat.user] == 0 {
		delete(s.perUser, seat.user)
	}
	if s.perTenant[seat.user.tenant]--; s.perTenant[seat.user.tenant] == 0 {
		delete(s.perTenant, seat.user.tenant)
	}
	if s.closed && len(s.cancels) == 0 {
		close(s.idle)
	}
}

// closeAll ends every stream and refuses new ones. Calling it twice is harmless.
func (s *streams) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, cancel := range s.cancels {
		cancel(errDraining)
	}
	if len(s.cancels) == 0 {
		close(s.idle)
	}
}

// wait returns once every stream has left after closeAll.
func (s *streams) wait(ctx context.Context) error {
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
