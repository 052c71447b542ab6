package sqlite

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
)

// SQLite's own checkpoint runs inside the commit that crosses a size, and that append waits for the file's fsync. Here
// a goroutine of its own moves pages while appends go on. The log starts again from its beginning only when every page
// was moved and nobody reads it, so above turnPages the keeper moves the rest while no append runs.
const (
	keepEvery     = 4 << 20 // bytes of the log between two checkpoints, about
	turnPages     = 8192    // 32 MiB
	backstopPages = 32768   // 128 MiB: SQLite's own, should the keeper not keep up

	// What an append adds to the log, for keepEvery: a row's columns and index entries beside its parts, and the pages
	// that any flush writes anew.
	rowOverhead   = 120
	flushOverhead = 5 * 4096
)

// keeper is the goroutine that checkpoints the write-ahead log.
type keeper struct {
	bytes atomic.Int64
	due   chan struct{}
	end   context.CancelFunc
	done  sync.WaitGroup
}

func (k *keeper) start(s *Store) {
	ctx, cancel := context.WithCancel(context.Background())
	k.due, k.end = make(chan struct{}, 1), cancel
	k.done.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-k.due:
				s.checkpoint(ctx)
			}
		}
	})
}

// wrote counts what an append stored.
func (k *keeper) wrote(bytes int) {
	if k.bytes.Add(int64(bytes)) < keepEvery {
		return
	}
	k.bytes.Store(0)
	select {
	case k.due <- struct{}{}:
	default: // one is due already
	}
}

func (k *keeper) stop() {
	k.end()
	k.done.Wait()
}

// checkpoint moves the log into the file. A failure is not reported: the log stays, appends meet the same disk and
// report it, and the next checkpoint tries again.
func (s *Store) checkpoint(ctx context.Context) {
	conn, err := s.db.Read.Conn(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	if pages, err := walCheckpoint(ctx, conn, "PASSIVE"); err != nil || pages < turnPages {
		return
	}
	_ = s.withWriter(ctx, func(w *writer) error {
		_, err := walCheckpoint(ctx, w.conn, "PASSIVE")
		return err
	})
}

// walCheckpoint gives the pages that the log holds.
func walCheckpoint(ctx context.Context, conn *sql.Conn, mode string) (pages int, err error) {
	var busy, moved int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &pages, &moved)
	return pages, err
}
