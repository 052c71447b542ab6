package app

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"auditlog/eventstore"
	"auditlog/internal/limit"
	limitpg "auditlog/internal/limit/postgres"
	"auditlog/transport/httpapi"
)

// Off as a value of Limits means no limit.
const Off = -1

// Limits bound what a process takes in. Zero values take the defaults. A rate allows twice as much at once after a rest;
// processes on one database share it.
type Limits struct {
	Requests int      // AUDITLOG_LIMIT_REQUESTS: writes a second of a tenant; default 1000
	Entries  int      // AUDITLOG_LIMIT_ENTRIES: entries a second of a tenant; default 10,000
	Tenants  []string // AUDITLOG_LIMIT_TENANTS: tenants with rates of their own, ID=REQUESTS/ENTRIES; 0 is no limit
	Searches int      // AUDITLOG_LIMIT_SEARCHES: searches and other reads a second of a principal; default 50
	Stats    int      // AUDITLOG_LIMIT_STATS: statistics a second of a principal; default 10
	Exports  int      // AUDITLOG_LIMIT_EXPORTS: exports an hour of a principal; default 60

	Writes int // AUDITLOG_INFLIGHT_WRITES: in progress at once in this process; default 512
	Reads  int // AUDITLOG_INFLIGHT_READS: default 128
	Bodies int // AUDITLOG_INFLIGHT_BODIES: MiB of request bodies at once; default 64

	TrustedProxies []string // AUDITLOG_TRUSTED_PROXIES: address ranges whose X-Forwarded-For is believed
}

const (
	setLimitTenants   = "AUDITLOG_LIMIT_TENANTS (--limit-tenants)"
	setTrustedProxies = "AUDITLOG_TRUSTED_PROXIES (--trusted-proxies)"
	maxInFlight       = 1 << 20
)

// number is a setting of Limits with its default and its bound.
type number struct {
	setting  string
	value    *int
	def, max int
}

func (l *Limits) numbers() []number {
	return []number{
		{"AUDITLOG_LIMIT_REQUESTS (--limit-requests)", &l.Requests, 1000, limit.MaxEvents},
		{"AUDITLOG_LIMIT_ENTRIES (--limit-entries)", &l.Entries, 10_000, limit.MaxEvents},
		{"AUDITLOG_LIMIT_SEARCHES (--limit-searches)", &l.Searches, 50, limit.MaxEvents},
		{"AUDITLOG_LIMIT_STATS (--limit-stats)", &l.Stats, 10, limit.MaxEvents},
		{"AUDITLOG_LIMIT_EXPORTS (--limit-exports)", &l.Exports, 60, limit.MaxEvents},
		{"AUDITLOG_INFLIGHT_WRITES (--inflight-writes)", &l.Writes, 512, maxInFlight},
		{"AUDITLOG_INFLIGHT_READS (--inflight-reads)", &l.Reads, 128, maxInFlight},
		{"AUDITLOG_INFLIGHT_BODIES (--inflight-bodies)", &l.Bodies, 64, maxInFlight},
	}
}

func (l Limits) withDefaults() Limits {
	for _, n := range l.numbers() {
		if *n.value == 0 {
			*n.value = n.def
		}
	}
	return l
}

func (l Limits) complain(complain func(setting, format string, args ...any)) {
	for _, n := range l.numbers() {
		if *n.value < Off || *n.value > n.max {
			complain(n.setting, "must lie between 0, which is no limit, and %d", n.max)
		}
	}
	if _, _, err := l.ownRates(); err != nil {
		complain(setLimitTenants, "%w", err)
	}
	if _, err := l.proxies(); err != nil {
		complain(setTrustedProxies, "%w", err)
	}
}

// ownRates reads Tenants.
func (l Limits) ownRates() (requests, entries map[limit.Key]limit.Rate, err error) {
	requests, entries = map[limit.Key]limit.Rate{}, map[limit.Key]limit.Rate{}
	for _, text := range l.Tenants {
		wrong := fmt.Errorf("%q is not ID=REQUESTS/ENTRIES with numbers from 0 to %d", text, limit.MaxEvents)
		id, both, _ := strings.Cut(text, "=")
		first, second, _ := strings.Cut(both, "/")
		tenant, err := eventstore.ParseTenantID(id)
		if err != nil {
			return nil, nil, wrong
		}
		for of, text := range map[*map[limit.Key]limit.Rate]string{&requests: first, &entries: second} {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > limit.MaxEvents {
				return nil, nil, wrong
			}
			(*of)[limit.Key(tenant)] = limit.PerSecond(n)
		}
	}
	return requests, entries, nil
}

// proxies reads TrustedProxies: ranges, or single addresses.
func (l Limits) proxies() (all []netip.Prefix, err error) {
	for _, text := range l.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%q is no range of addresses like 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}

// inFlight are the bounds of what is in hand at once.
func (l Limits) inFlight() httpapi.InFlight {
	f := httpapi.InFlight{Writes: l.Writes, Reads: l.Reads, Bodies: int64(l.Bodies)}
	if l.Bodies > 0 {
		f.Bodies <<= 20
	}
	return f
}

// rates makes the limiters. Processes on one database share what they let pass.
func (a *App) rates(ctx context.Context) (httpapi.Rates, error) {
	l := a.cfg.Limits
	requests, entries, err := l.ownRates()
	if err != nil {
		return httpapi.Rates{}, named(setLimitTenants, err)
	}
	r := httpapi.Rates{
		Requests: limit.New("requests", limit.PerSecond(l.Requests), limit.Options{Own: requests}),
		Entries:  limit.New("entries", limit.PerSecond(l.Entries), limit.Options{Own: entries}),
		Searches: limit.New("searches", limit.PerSecond(l.Searches), limit.Options{}),
		Stats:    limit.New("stats", limit.PerSecond(l.Stats), limit.Options{}),
		Exports:  limit.New("exports", limit.PerHour(l.Exports), limit.Options{}),
	}
	if a.cfg.Parts.embeddedStore() {
		return r, nil
	}
	ledger, err := limitpg.Open(ctx, string(a.cfg.Parts.Projections))
	if err := a.parts.opened(ledger, named(setProjections, err)); err != nil {
		return httpapi.Rates{}, err
	}
	sharer := limit.Share(ledger, limit.SharerOptions{Beaten: a.meters.sharing, Settled: a.meters.settled, Log: a.log},
		r.Requests, r.Entries, r.Searches, r.Stats, r.Exports)
	a.live.run("shared limits", sharer.Run)
	return r, nil
}
