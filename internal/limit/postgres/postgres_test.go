package postgres_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"auditlog/internal/limit"
	"auditlog/internal/limit/postgres"
	"auditlog/internal/pgdb/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const service = "auditlog_test_limits"

// database is an empty one, as owner and as the service's role.
func database(tb testing.TB) (owner, address string) {
	tb.Helper()
	owner = pgtest.Database(tb)
	for range 2 { // again changes nothing
		if err := postgres.Prepare(tb.Context(), owner, service); err != nil {
			tb.Fatal(err)
		}
	}
	return owner, pgtest.As(tb, owner, service)
}

func open(tb testing.TB, address string) *postgres.Ledger {
	tb.Helper()
	l, err := postgres.Open(tb.Context(), address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

func settle(tb testing.TB, l *postgres.Ledger, claims ...limit.Claim) []int64 {
	tb.Helper()
	granted, err := l.Settle(tb.Context(), claims)
	if err != nil || len(granted) != len(claims) {
		tb.Fatalf("%v, %v", granted, err)
	}
	return granted
}

// hourly is so slow that nothing comes back while a test runs.
var hourly = limit.PerHour(60)

// A bucket grants what is left of it after what was charged, to whoever asks, and no more.
func TestSettle(t *testing.T) {
	_, address := database(t)
	a, b := open(t, address), open(t, address)
	claim := func(rule string, key byte, spent, want int64) limit.Claim {
		return limit.Claim{Rule: rule, Key: limit.Key{key}, Rate: hourly, Spent: spent, Want: want}
	}
	for i, c := range []struct {
		by      *postgres.Ledger
		claim   limit.Claim
		granted int64
	}{
		{a, claim("x", 1, 0, 50), 50}, // of 120
		{b, claim("x", 1, 20, 30), 30},
		{a, claim("x", 1, 0, 30), 20},
		{b, claim("x", 1, 0, 1), 0},
		{a, claim("x", 2, 200, 10), 0}, // another key, overdrawn at once
		{a, claim("x", 2, 0, 10), 0},
		{b, claim("y", 1, 115, 10), 5}, // another rule
		{b, claim("y", 2, 0, 0), 0},
		{a, claim("y", 2, 0, 1000), 120}, // never more than a burst
	} {
		if got := settle(t, c.by, c.claim); got[0] != c.granted {
			t.Errorf("%d: %+v is granted %d, not %d", i, c.claim, got[0], c.granted)
		}
	}
	got := settle(t, a, claim("z", 3, 0, 3), claim("a", 9, 119, 9), claim("z", 1, 0, 1))
	if got[0] != 3 || got[1] != 1 || got[2] != 1 {
		t.Errorf("in another order than asked: %v", got)
	}
}

// What was charged comes back with time, and a debt is bounded even when the clock has stepped back.
func TestBucketsFill(t *testing.T) {
	owner, address := database(t)
	l := open(t, address)
	c := limit.Claim{Rule: "x", Rate: hourly, Want: 200}
	settle(t, l, c)
	conn, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	move := func(by time.Duration) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), `UPDATE auditlog_limits.buckets SET full_at = full_at - $1`, by.Nanoseconds()); err != nil {
			t.Fatal(err)
		}
	}
	if got := settle(t, l, c)[0]; got != 0 {
		t.Fatalf("an empty bucket grants %d", got)
	}
	move(10*time.Minute + time.Second)
	if got := settle(t, l, c)[0]; got != 10 {
		t.Errorf("after ten minutes at one a minute: %d", got)
	}
	move(24 * time.Hour)
	if got := settle(t, l, c)[0]; got != 120 {
		t.Errorf("after a day: %d", got)
	}
	move(-100 * time.Hour)
	settle(t, l, c)
	move(2*time.Hour + time.Minute + time.Second)
	if got := settle(t, l, c)[0]; got != 1 {
		t.Errorf("a debt of days is paid off after two hours: %d", got)
	}
}

// Those count that gave a sign of life lately and did not leave.
func TestBeat(t *testing.T) {
	owner, address := database(t)
	a, b := open(t, address), open(t, address)
	beat := func(l *postgres.Ledger, want int) {
		t.Helper()
		if n, err := l.Beat(t.Context()); err != nil || n != want {
			t.Errorf("%d processes, %v; want %d", n, err, want)
		}
	}
	beat(a, 1)
	beat(b, 2)
	beat(a, 2)
	conn, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), `UPDATE auditlog_limits.processes SET expires_at = expires_at - interval '8 s'`); err != nil {
		t.Fatal(err)
	}
	beat(a, 1)
	beat(b, 2)
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	beat(b, 1)
}

// Rows of buckets that have long been full go with the first sign of life.
func TestRestedRowsGo(t *testing.T) {
	owner, address := database(t)
	settle(t, open(t, address), limit.Claim{Rule: "old", Rate: hourly, Spent: 1}, limit.Claim{Rule: "new", Rate: hourly, Spent: 1})
	conn, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), `UPDATE auditlog_limits.buckets SET full_at = 1, claimed_at = 1 WHERE rule = 'old'`); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, address).Beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left string
	if err := conn.QueryRow(t.Context(), `SELECT string_agg(rule, ' ') FROM auditlog_limits.buckets`).Scan(&left); err != nil || left != "new" {
		t.Errorf("left are %q, %v", left, err)
	}
}

// Claims of many about the same keys, in different orders, wait for each other and never in a circle; none is lost.
func TestClaimsOfMany(t *testing.T) {
	_, address := database(t)
	const keys, rounds = 20, 30
	var granted atomic.Int64
	var all sync.WaitGroup
	for i := range 4 {
		l := open(t, address)
		all.Go(func() {
			for range rounds {
				var claims []limit.Claim
				for k := range keys {
					if i%2 == 1 {
						k = keys - 1 - k
					}
					claims = append(claims, limit.Claim{Rule: "x", Key: limit.Key{byte(k)}, Rate: hourly, Want: 2})
				}
				got, err := l.Settle(t.Context(), claims)
				if err != nil {
					t.Error(err)
					return
				}
				for _, n := range got {
					granted.Add(n)
				}
			}
		})
	}
	all.Wait()
	if n := granted.Load(); n != keys*120 {
		t.Errorf("%d granted of %d buckets of 120", n, keys)
	}
}

// Two processes on one database, asked for much more than is configured, grant it together.
func TestTwoProcessesShare(t *testing.T) {
	_, address := database(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer func() { stop(); running.Wait() }()
	rate := limit.PerSecond(1000)
	var both sync.WaitGroup
	both.Add(2)
	var limiters []*limit.Limiter
	for range 2 {
		l := limit.New("x", rate, limit.Options{})
		limiters = append(limiters, l)
		var once sync.Once
		s := limit.Share(open(t, address), limit.SharerOptions{Beat: 100 * time.Millisecond, Beaten: func(n int) {
			if n == 2 {
				once.Do(both.Done)
			}
		}}, l)
		running.Go(func() { _ = s.Run(ctx) })
	}
	both.Wait()
	passed, start := 0, time.Now()
	for time.Since(start) < 4*time.Second { // one of them alone, then both
		for i, l := range limiters {
			if (i == 0 || time.Since(start) > 2*time.Second) && l.Take(limit.Key{}, 1).OK {
				passed++
			}
		}
		time.Sleep(200 * time.Microsecond) // the clients' pace
	}
	// The bound is of counts over the time that has passed, whatever the machine's pace.
	seconds := time.Since(start).Seconds()
	if most := 2*2000 + 1.02*1000*seconds; float64(passed) > most {
		t.Errorf("%d passed in %.1f s, more than %.0f", passed, seconds, most)
	}
	if least := 0.5*1000*seconds + 1000; float64(passed) < least { // no less than half of the rate, and a share's burst
		t.Errorf("%d passed in %.1f s, less than %.0f", passed, seconds, least)
	}
}

// BenchmarkSettle is the cost of one statement for so many busy keys.
func BenchmarkSettle(b *testing.B) {
	_, address := database(b)
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := open(b, address)
			claims := make([]limit.Claim, n)
			for i := range claims {
				claims[i] = limit.Claim{Rule: "x", Key: limit.Key{byte(i), byte(i >> 8)}, Rate: limit.PerSecond(1000), Spent: 20, Want: 100}
			}
			b.ResetTimer()
			for b.Loop() {
				if _, err := l.Settle(b.Context(), claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
