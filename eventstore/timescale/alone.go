package timescale

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// aloneLook is how often a place that another process has is tried, and how often the own one is looked at.
const aloneLook = 2 * time.Second

// Alone runs f while no other process of this database does: whoever holds an advisory lock of one session runs, the
// others wait. f's context ends when the session is lost; f then runs again once the lock is had again. Alone returns
// ctx's error, or f's when f ends by itself.
func (l *Lifecycle) Alone(ctx context.Context, f func(context.Context) error) error {
	for ctx.Err() == nil {
		err := l.aloneOnce(ctx, f)
		if !errors.Is(err, errNotAlone) {
			return err
		}
		if err := pause(ctx, aloneLook); err != nil {
			return err
		}
	}
	return ctx.Err()
}

var errNotAlone = errors.New("another process is at it, or the session that says so was lost")

func (l *Lifecycle) aloneOnce(ctx context.Context, f func(context.Context) error) error {
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return errors.Join(errNotAlone, ctx.Err())
	}
	session := conn.Hijack() // the lock must not go back to the pool with it
	defer func() { _ = session.Close(context.WithoutCancel(ctx)) }()
	var alone bool
	if err := session.QueryRow(ctx, `SELECT pg_try_advisory_lock(7402, 7)`).Scan(&alone); err != nil || !alone {
		return errNotAlone
	}
	held, lose := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watch(held, session, lose)
	}()
	err = f(held)
	lost := errors.Is(context.Cause(held), errNotAlone)
	lose(nil)
	<-ended
	if lost && ctx.Err() == nil {
		return errNotAlone
	}
	return err
}

// watch ends the place when the session no longer answers.
func watch(ctx context.Context, session *pgx.Conn, lose context.CancelCauseFunc) {
	for pause(ctx, aloneLook) == nil {
		look, cancel := context.WithTimeout(ctx, aloneLook)
		err := session.Ping(look)
		cancel()
		if err != nil && ctx.Err() == nil {
			lose(errNotAlone)
			return
		}
	}
}

// pause waits for d; ctx's error when it ended first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
