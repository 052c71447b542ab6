package timescale

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/eventstore"
	"auditlog/internal/pgdb"
)

const (
	channel     = "auditlog_appended" // payload: shards, separated by commas
	tellEvery   = 5 * time.Millisecond
	lookEvery   = time.Second // at the heads, for what nobody told
	aheadEvery  = time.Hour   // for the next native partition
	againAfter  = 250 * time.Millisecond
	callTimeout = 5 * time.Second
)

// tellSQL needs no wait for the disk: a notification is not kept anyway.
const tellSQL = `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`

// wakes closes a channel for each shard when it grows. Two goroutines serve it: one tells other processes, one listens
// to them.
type wakes struct {
	mu    sync.Mutex
	chans []chan struct{} // nil: nobody waits
	grown []bool          // by this process, not yet told to others
	dead  bool

	due  chan struct{} // something in grown
	end  context.CancelFunc
	done sync.WaitGroup
}

func startWakes(s *Store, address string) *wakes {
	ctx, cancel := context.WithCancel(context.Background())
	w := &wakes{chans: make([]chan struct{}, s.shards), grown: make([]bool, s.shards), due: make(chan struct{}, 1), end: cancel}
	w.done.Go(func() { w.tell(ctx, s) })
	w.done.Go(func() { w.listen(ctx, s, address) })
	return w
}

func (w *wakes) stop() {
	w.end()
	w.done.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	for i, ch := range w.chans {
		if ch == nil {
			ch = make(chan struct{})
			w.chans[i] = ch
		}
		close(ch)
	}
}

func (w *wakes) ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

func (w *wakes) next(shard eventstore.Shard) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int(shard) >= len(w.chans) {
		return nil // a shard that does not exist never grows
	}
	if w.chans[shard] == nil {
		w.chans[shard] = make(chan struct{})
	}
	return w.chans[shard]
}

// wake closes the channel of whoever waits for the shard.
func (w *wakes) wake(shard int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if shard < len(w.chans) && w.chans[shard] != nil && !w.dead {
		close(w.chans[shard])
		w.chans[shard] = nil
	}
}

// committed is called after each commit of this process.
func (w *wakes) committed(shard eventstore.Shard) {
	w.wake(int(shard))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.grown[shard] = true
	select {
	case w.due <- struct{}{}:
	default: // it is going to look
	}
}

// tell notifies other processes, of many commits at once. A failure is left to their look at the heads.
func (w *wakes) tell(ctx context.Context, s *Store) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.due:
		}
		if grown := w.takeGrown(); grown != "" {
			call, cancel := context.WithTimeout(ctx, callTimeout)
			_, _ = s.pool.Exec(call, tellSQL, channel, grown)
			cancel()
		}
		pause.Reset(tellEvery)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

func (w *wakes) takeGrown() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for shard, grown := range w.grown {
		if grown {
			list = append(list, strconv.Itoa(shard))
			w.grown[shard] = false
		}
	}
	return strings.Join(list, ",")
}

// listen wakes waiters for the commits of other processes, over a connection of its own that it makes anew when it breaks.
func (w *wakes) listen(ctx context.Context, s *Store, address string) {
	ahead := time.Now().Add(aheadEvery)
	heads := make([]eventstore.Offset, s.shards)
	for ctx.Err() == nil {
		conn, err := pgdb.Connect(ctx, address, pgdb.Options{})
		if err == nil {
			_, err = conn.Exec(ctx, `LISTEN `+channel)
		}
		for err == nil {
			if err = w.look(ctx, conn, heads); err == nil {
				err = w.hear(ctx, conn)
			}
			if time.Now().After(ahead) {
				ahead = time.Now().Add(aheadEvery)
				_ = s.prepareAhead(ctx) // an append that misses its partition has it made
			}
		}
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // it is broken, or the store ends
		}
		select {
		case <-ctx.Done():
		case <-time.After(againAfter):
		}
	}
}

// hear waits for notifications until it is time to look at the heads.
func (w *wakes) hear(ctx context.Context, conn *pgx.Conn) error {
	wait, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	for {
		n, err := conn.WaitForNotification(wait)
		if wait.Err() != nil && ctx.Err() == nil {
			return nil
		}
		if err != nil {
			return err
		}
		for shard := range strings.SplitSeq(n.Payload, ",") {
			if i, err := strconv.Atoi(shard); err == nil && i >= 0 {
				w.wake(i)
			}
		}
	}
}

// look wakes the waiters of shards that grew since the last look.
func (w *wakes) look(ctx context.Context, conn *pgx.Conn, heads []eventstore.Offset) error {
	rows, err := conn.Query(ctx, `SELECT shard, "offset" FROM auditlog.shards`)
	if err != nil {
		return err
	}
	var shard int
	var offset eventstore.Offset
	_, err = pgx.ForEachRow(rows, []any{&shard, &offset}, func() error {
		if shard < len(heads) && heads[shard] != offset {
			heads[shard] = offset
			w.wake(shard)
		}
		return nil
	})
	return err
}
