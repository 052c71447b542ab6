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
// alone. All tenants are of one shard, whose lane they share. The sides take turns.
func (m *imports) quiet(ctx context.Context, token string, importers []string) error {
	to := newCrowd(m.p.addr, token)
	if _, err := (schedule{rate: quietRate, n: quietRate}).posts(to, quietConns); err != nil { // it warms up
		return err
	}
	var with, alone kept
	var load bill
	for _, importer := range importers {
		k, one, err := m.beside(ctx, to, importer)
		if err != nil {
			return err
		}
		with.add(k)
		load.add(one)
		k, err = schedule{rate: quietRate, n: len(k.each)}.posts(to, quietConns)
		if err != nil {
			return err
		}
		alone.add(k)
	}
	return m.report(Line{
		Name: "p99 of a quiet tenant's single POST during an import / alone", Value: with.each.ms(0.99) / alone.each.ms(0.99), Unit: "ratio", Goal: 2,
		Cache: "warm", Workers: "off", Connections: quietConns, Samples: len(with.each), Entries: m.lines, Load: load.rate(),
		Sides: map[string]float64{
			"with_p50_ms": with.each.ms(0.5), "with_p99_ms": with.each.ms(0.99), "alone_p50_ms": alone.each.ms(0.5), "alone_p99_ms": alone.each.ms(0.99),
			"p50_ratio": with.each.ms(0.5) / alone.each.ms(0.5), "with_sent_late_p99_ms": with.late.ms(0.99), "alone_sent_late_p99_ms": alone.late.ms(0.99),
			"posts_per_s": quietRate,
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

// neighbours makes tenants until n are of one shard, each of which has written once, and gives their tokens.
func (w *writer) neighbours(ctx context.Context, n int) ([]string, error) {
	var shards int
	if err := w.stack.db.QueryRow(ctx, `SELECT shards FROM auditlog.layout`).Scan(&shards); err != nil {
		return nil, err
	}
	made := (n-1)*shards + 1 // however they spread, one shard has n
	if _, err := w.tenants(made); err != nil {
		return nil, err
	}
	rows, err := w.stack.db.Query(ctx, `
		WITH made AS (SELECT no, id, shard FROM auditlog.tenants ORDER BY no DESC LIMIT $1)
		SELECT id::text FROM made
		WHERE shard = (SELECT shard FROM made GROUP BY shard ORDER BY count(*) DESC, shard LIMIT 1)
		ORDER BY no LIMIT $2`, made, n)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(ids) < n {
		err = fmt.Errorf("%d of %d tenants are of one shard", len(ids), n)
	}
	if err != nil {
		return nil, err
	}
	tokens := make([]string, n)
	for i, id := range ids {
		if tokens[i], err = w.secret.mint("writer", id); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}
