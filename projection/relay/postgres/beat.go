package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/pgdb"
)

const (
	channel   = "auditlog_relay" // says that a member came or went, or a lease was given back
	leaveWait = 3 * time.Second
	gather    = 50 * time.Millisecond  // at least between two beats
	again     = 500 * time.Millisecond // before another try to connect
)

// run tells the database until the keeper ends, over one connection, which it makes anew when it breaks.
func (k *keeper) run() {
	var conn *pgx.Conn
	for told := false; k.ctx.Err() == nil; {
		var err error
		if conn, err = k.connect(k.ctx); err == nil {
			told = false
			err = k.beats(conn)
		}
		if k.ctx.Err() != nil {
			break
		}
		if !told { // once until it is back
			k.o.Log.Warn("the relay leases cannot be renewed, trying again", "error", err)
			told = true
		}
		drop(conn)
		conn = nil
		sleep(k.ctx, min(k.o.Life/10, again))
	}
	k.leave(conn)
}

func (k *keeper) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, k.o.Life/2)
	defer cancel()
	conn, err := pgdb.Connect(ctx, k.address, pgdb.Options{StatementTimeout: k.o.Life / 3})
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, `LISTEN `+channel)
	if err == nil {
		_, err = conn.Exec(ctx, `DELETE FROM auditlog_relay.members WHERE expires_at < clock_timestamp() - interval '1 hour'`)
	}
	if err != nil {
		drop(conn)
		return nil, err
	}
	return conn, nil
}

// drop gives a connection up, whatever it says.
func drop(conn *pgx.Conn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// beats renews and takes: in thirds of a lease's life, when another process says so, and when something changed here.
func (k *keeper) beats(conn *pgx.Conn) error {
	s := session{keeper: k, conn: conn}
	for k.ctx.Err() == nil {
		next, err := s.beat(k.ctx)
		if err != nil {
			return err
		}
		sleep(k.ctx, min(k.o.Life/30, gather)) // what comes together is told together
		if err := s.pause(k.ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for a notification of another process, a change in this one, or the end of d.
func (s *session) pause(ctx context.Context, d time.Duration) error {
	wait, cancel := context.WithTimeout(ctx, d)
	var changes sync.WaitGroup
	defer changes.Wait()
	defer cancel()
	changes.Go(func() {
		select {
		case <-s.due:
			cancel()
		case <-wait.Done():
		}
	})
	for {
		n, err := s.conn.WaitForNotification(wait)
		switch {
		case wait.Err() != nil:
			return nil
		case err != nil:
			return err
		case n.PID != s.conn.PgConn().PID():
			return nil
		}
	}
}

// leave gives back everything at the end. When that fails, it is free after a lease's life.
func (k *keeper) leave(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveWait)
	defer cancel()
	var err error
	for range 2 { // the connection may have broken
		if conn == nil {
			conn, err = k.connect(ctx)
		}
		if conn == nil {
			continue
		}
		b := &pgx.Batch{}
		b.Queue(`UPDATE auditlog_relay.leases SET holder = NULL WHERE holder = $1`, k.id)
		b.Queue(`DELETE FROM auditlog_relay.members WHERE id = $1`, k.id)
		b.Queue(`SELECT pg_notify($1, '')`, channel)
		err = conn.SendBatch(ctx, b).Close()
		drop(conn)
		if conn = nil; err == nil {
			return
		}
	}
	k.o.Log.Warn("the relay leases were not given back, and last until their time", "error", err)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
