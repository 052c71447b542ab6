package httpapi

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"
	"time"

	"auditlog/internal/fault"
	"auditlog/internal/limit"
)

// load is what a request counts as.
type load uint8

const (
	noLoad    load = iota // live streams, which have bounds of their own
	writing               // of a tenant, and so are its entries
	searching             // of a principal, as the rest: every read that is none of the next two
	counting
	exporting
)

// Rates bound what comes in over time. Nil ones let everything pass.
type Rates struct {
	Requests *limit.Limiter // a tenant's writes
	Entries  *limit.Limiter // and what they hold
	Searches *limit.Limiter // a principal's searches and other reads
	Stats    *limit.Limiter
	Exports  *limit.Limiter
}

// Names of the quotas, as clients and metrics see them.
const (
	quotaRequests = "tenant-requests"
	quotaEntries  = "tenant-entries"
	quotaSearches = "searches"
	quotaStats    = "stats"
	quotaExports  = "exports"
)

// limited is a refusal for want of room.
type limited struct {
	fault  *fault.Error
	reason string // for the metrics
	quota  *quota // for the client; nil when the room is everybody's
	hangUp bool   // the body was not read and is too much to be read in vain
}

func (l *limited) Error() string { return l.fault.Error() }
func (l *limited) Unwrap() error { return l.fault }

// quota is one that is used up.
type quota struct {
	name   string
	size   int64
	window time.Duration // in which it comes back; 0: it is of what runs at the same time
	left   int64
}

// overQuota is the answer to what exceeds a rate.
func overQuota(name, detail string, v limit.Verdict) error {
	return &limited{
		fault:  &fault.Error{Kind: fault.RateLimited, Detail: detail, RetryAfter: max(v.Wait, time.Millisecond)},
		reason: name, quota: &quota{name, v.Rate.Burst(), v.Rate.Window(), v.Remaining},
	}
}

// tooManyAtOnce is the answer to what exceeds a number of things that run at the same time.
func tooManyAtOnce(name, detail string, size int, retry time.Duration) error {
	return &limited{
		fault:  &fault.Error{Kind: fault.RateLimited, Detail: detail, RetryAfter: retry},
		reason: name, quota: &quota{name: name, size: int64(size)},
	}
}

// full is the answer when a pool has no room.
func full(reason, detail string, p *limit.Pool) error {
	return &limited{fault: &fault.Error{Kind: fault.Overloaded, Detail: detail, RetryAfter: p.Wait()}, reason: reason}
}

// readInVain is how long a refused body may be for its connection to be kept, in bytes. As a rule it is there with the head.
const readInVain = 64 << 10

// unread marks a refusal for want of room whose body was not read. To keep the connection net/http would read the rest
// before it answers, however long that takes.
func unread(err error, r *http.Request) error {
	if l, ok := errors.AsType[*limited](err); ok && (r.ContentLength < 0 || r.ContentLength > readInVain) {
		l.hangUp = true
	}
	return err
}

// writeQuota tells the client about a quota: as draft-ietf-httpapi-ratelimit-headers-11 has it (§3, §4), and by the three
// fields of its version 06, which more clients know.
func writeQuota(h http.Header, q *quota, retry time.Duration) {
	size, left, reset := strconv.FormatInt(q.size, 10), strconv.FormatInt(q.left, 10), seconds(retry)
	policy := `"` + q.name + `";q=` + size
	if q.window > 0 {
		policy += ";w=" + seconds(q.window)
	} else {
		policy += `;qu="concurrent-requests"`
	}
	h["Ratelimit-Policy"] = []string{policy}
	h["Ratelimit"] = []string{`"` + q.name + `";r=` + left + ";t=" + reset}
	h["Ratelimit-Limit"] = []string{size}
	h["Ratelimit-Remaining"] = []string{left}
	h["Ratelimit-Reset"] = []string{reset}
}

// seconds are whole ones, rounded up.
func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

// charge takes a request from its rates, before anything of it is looked at but who sends it.
func (s *Server) charge(r *request) error {
	switch r.route.load {
	case writing:
		if v := s.rates.Requests.Take(r.tenantKey(), 1); !v.OK {
			return overQuota(quotaRequests, "the tenant sends too many requests", v)
		}
		if r.route.body != nil && r.route.body.bulk { // how many it holds is known when it is read
			if v := s.rates.Entries.Look(r.tenantKey()); !v.OK {
				return overQuota(quotaEntries, tooManyEntries, v)
			}
			return nil
		}
		return s.chargeEntries(r, 1)
	case searching:
		return take(s.rates.Searches, r, quotaSearches, "too many searches and other reads of this principal")
	case counting:
		return take(s.rates.Stats, r, quotaStats, "too many statistics of this principal")
	case exporting:
		return take(s.rates.Exports, r, quotaExports, "too many exports of this principal")
	}
	return nil
}

const tooManyEntries = "the tenant sends too many entries"

// chargeEntries takes the entries of a write from the tenant's rate.
func (s *Server) chargeEntries(r *request, n int) error {
	if v := s.rates.Entries.Take(r.tenantKey(), n); !v.OK {
		return overQuota(quotaEntries, tooManyEntries, v)
	}
	return nil
}

func take(l *limit.Limiter, r *request, name, detail string) error {
	if l == nil {
		return nil
	}
	if v := l.Take(r.principalKey(), 1); !v.OK {
		return overQuota(name, detail, v)
	}
	return nil
}

// tenantKey is the tenant that a request works on; zero for the platform's own.
func (r *request) tenantKey() limit.Key { return limit.Key(r.tenant) }

// principalKey stands for who asks: a subject within the tenant of its credential.
func (r *request) principalKey() limit.Key {
	b := append(make([]byte, 0, 128), r.who.Tenant[:]...)
	sum := sha256.Sum256(append(b, r.who.Subject...))
	return limit.Key(sum[:16])
}
