package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/transport/httpapi/auth"
)

// Bounds of tickets that wait to be used.
const (
	maxTickets        = 10_000
	maxTicketsPerUser = 20
)

// userKey is a subject within a tenant.
type userKey struct {
	tenant  eventstore.TenantID
	subject string
}

// ticketGrant is what a ticket stands for.
type ticketGrant struct {
	who    *auth.Principal
	tenant eventstore.TenantID
	until  time.Time
}

// tickets are one-time credentials for browsers, which cannot send a header with a stream. They live in memory, by hash,
// for a moment; a restart forgets them.
type tickets struct {
	life time.Duration
	now  func() time.Time

	mu   sync.Mutex
	open map[[32]byte]ticketGrant // guarded by mu
}

func newTickets(life time.Duration, now func() time.Time) *tickets {
	return &tickets{life: life, now: now, open: map[[32]byte]ticketGrant{}}
}

// issue makes a ticket. It never outlives the credential.
func (t *tickets) issue(who *auth.Principal, tenant eventstore.TenantID) (string, time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, mine := t.now(), 0
	for key, g := range t.open {
		switch {
		case !now.Before(g.until):
			delete(t.open, key)
		case g.tenant == tenant && g.who.Subject == who.Subject:
			mine++
		}
	}
	if mine >= maxTicketsPerUser || len(t.open) >= maxTickets {
		return "", time.Time{}, &fault.Error{Kind: fault.RateLimited, Detail: "too many tickets are waiting to be used", RetryAfter: t.life}
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	ticket := base64.RawURLEncoding.EncodeToString(random[:])
	until := now.Add(t.life)
	if who.Expires.Before(until) {
		until = who.Expires
	}
	t.open[sha256.Sum256([]byte(ticket))] = ticketGrant{who: who, tenant: tenant, until: until}
	return ticket, until, nil
}

// redeem takes a ticket in for good.
func (t *tickets) redeem(ticket string) (ticketGrant, error) {
	key := sha256.Sum256([]byte(ticket))
	t.mu.Lock()
	defer t.mu.Unlock()
	g, known := t.open[key]
	delete(t.open, key)
	if !known || !t.now().Before(g.until) {
		return ticketGrant{}, fault.New(fault.Unauthenticated, "the ticket is used, too old, or none of ours")
	}
	return g, nil
}

func (s *Server) postTicket(w http.ResponseWriter, r *request) error {
	ticket, until, err := s.tickets.issue(r.who, r.tenant)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, ticketView{Ticket: ticket, ExpiresAt: eventstore.MicrosOf(until).String()})
}
