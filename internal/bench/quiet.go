package bench

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// A quiet tenant posts little, and as regularly during an import as without: a closed loop would send less while it is
// held up.
const (
	quietRate  = 200 // entries/s
	quietConns = 8
)

// quiet compares how long single entries of one tenant take while another one's file is imported with how long they take
// alone. Those near are of the tenant's shard, whose lane they share; what an import to another shard does, that shares
// the machine alone, is stated. The sides take turns.
func (m *imports) quiet(ctx context.Context, token string, near, far []string) error {
	to := newCrowd(m.p.addr, token)
	if _, err := (schedule{rate: quietRate, n: quietRate}).posts(to, quietConns); err != nil { // it warms up
		return err
	}
	var with, apart, alone kept
	var load bill
	for n := range near {
		for _, side := range []struct {
			*kept
			posts func() (kept, error)
		}{
			{&with, func() (k kept, err error) {
				var one bill
				k, one, err = m.beside(ctx, to, near[n])
				load.add(one)
				return k, err
			}},
			{&alone, func() (kept, error) {
				return schedule{rate: quietRate, n: len(with.each) / (n + 1)}.posts(to, quietConns)
			}},
			{&apart, func() (k kept, err error) {
				k, _, err = m.beside(ctx, to, far[n])
				return k, err
			}},
		} {
			if _, err := m.stack.db.Exec(ctx, `CHECKPOINT`); err != nil { // else a side pays for what the one before it wrote
				return err
			}
			k, err := side.posts()
			if err != nil {
				return err
			}
			side.add(k)
		}
	}
	return m.report(Line{
		Name: "p99 of a quiet tenant's single POST during an import / alone", Value: with.each.ms(0.99) / alone.each.ms(0.99), Unit: "ratio", Goal: 2,
		Cache: "warm", Workers: "off", Connections: quietConns, Samples: len(with.each), Entries: m.lines, Load: load.rate(),
		Sides: map[string]float64{
			"with_p50_ms": with.each.ms(0.5), "with_p99_ms": with.each.ms(0.99), "alone_p50_ms": alone.each.ms(0.5), "alone_p99_ms": alone.each.ms(0.99),
			"p50_ratio": with.each.ms(0.5) / alone.each.ms(0.5), "with_sent_late_p99_ms": with.late.ms(0.99), "alone_sent_late_p99_ms": alone.late.ms(0.99),
			"with_p95_ms": with.each.ms(0.95), "alone_p95_ms": alone.each.ms(0.95), "other_shard_p95_ms": apart.each.ms(0.95),
			"other_shard_p50_ms": apart.each.ms(0.5), "other_shard_p99_ms": apart.each.ms(0.99), "posts_per_s": quietRate,
		},
	})
}

// beside posts single entries for as long as an import takes.
func (m *imports) beside(ctx context.Context, to crowd, importer string) (k kept, load bill, err error) {
	over := make(chan struct{})
	var posting errgroup.Group
	posting.Go(func() (err error) {
		k, err = schedule{rate: quietRate, n: math.MaxInt, over: over}.posts(to, quietConns)
		return err
	})
	load.entries, load.took, err = m.to(ctx, importer)
	close(over)
	return k, load, errors.Join(err, posting.Wait())
}

// neighbours makes tenants until n are of one shard and n are of others, each of which has written once, and gives tokens
// for them.
func (w *writer) neighbours(ctx context.Context, n int) (near, far []string, err error) {
	var shards int
	if err := w.stack.db.QueryRow(ctx, `SELECT shards FROM auditlog.layout`).Scan(&shards); err != nil {
		return nil, nil, err
	}
	made := n * shards // however they spread, one shard has n
	if _, err := w.tenants(made); err != nil {
		return nil, nil, err
	}
	rows, err := w.stack.db.Query(ctx, `
		WITH made AS (SELECT no, id, shard FROM auditlog.tenants ORDER BY no DESC LIMIT $1)
		SELECT id::text, shard = (SELECT shard FROM made GROUP BY shard ORDER BY count(*) DESC, shard LIMIT 1) FROM made`, made)
	if err != nil {
		return nil, nil, err
	}
	var id string
	var is bool
	_, err = pgx.ForEachRow(rows, []any{&id, &is}, func() error {
		token, err := w.secret.mint("writer", id)
		if is {
			near = append(near, token)
		} else {
			far = append(far, token)
		}
		return err
	})
	if err == nil && min(len(near), len(far)) < n {
		err = fmt.Errorf("of %d tenants %d are of one shard and %d of others", made, len(near), len(far))
	}
	if err != nil {
		return nil, nil, err
	}
	return near[:n], far[:n], nil
}
