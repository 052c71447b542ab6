package limit

import (
	"context"
	"log/slog"
	"time"
)

// Ledger is where processes account for a rate that they share. It may lose everything at any time: the next claims begin
// with full buckets.
type Ledger interface {
	// Beat says that this process lives, for a few seconds on, and counts those that do, this one included.
	Beat(ctx context.Context) (processes int, err error)
	// Settle charges each claim's Spent, and then grants of its Want what is left of the bucket. It answers in the order of
	// the claims, of which no two are of one key.
	Settle(ctx context.Context, claims []Claim) (granted []int64, err error)
	// Leave takes back what Beat said.
	Leave(ctx context.Context) error
}

// Claim is what a process has to say about a key.
type Claim struct {
	Rule  string // the limiter's name
	Key   Key
	Rate  Rate
	Spent int64 // was granted without asking
	Want  int64 // is asked for
}

// SharerOptions tune a Sharer. Zero values take the defaults.
type SharerOptions struct {
	Beat     time.Duration               // between signs of life; default 2 s
	Pause    time.Duration               // between two settlements; default 20 ms
	Patience time.Duration               // for one answer of the ledger; default 1 s
	Beaten   func(processes int)         // hears how many share
	Settled  func(claims int, err error) // hears of each settlement
	Log      *slog.Logger
}

// Sharer has limiters share their rates with those of other processes. Until it runs, and while the ledger does not
// answer, each limiter grants its equal share of what was last known.
type Sharer struct {
	ledger   Ledger
	o        SharerOptions
	limiters []*Limiter
	wake     chan struct{}
	away     bool // the ledger did not answer last time; of the goroutine in Run
}

// maxPause is between two tries while the ledger does not answer.
const maxPause = 2 * time.Second

// Share makes a sharer. The limiters must not be in use yet; nil ones are left out.
func Share(ledger Ledger, o SharerOptions, limiters ...*Limiter) *Sharer {
	for d, def := range map[*time.Duration]time.Duration{&o.Beat: 2 * time.Second, &o.Pause: 20 * time.Millisecond, &o.Patience: time.Second} {
		if *d <= 0 {
			*d = def
		}
	}
	if o.Beaten == nil {
		o.Beaten = func(int) {}
	}
	if o.Settled == nil {
		o.Settled = func(int, error) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sharer{ledger: ledger, o: o, wake: make(chan struct{}, 1)}
	for _, l := range limiters {
		if l != nil {
			l.wake = s.wake
			s.limiters = append(s.limiters, l)
		}
	}
	return s
}

// Run shares until ctx ends; then it leaves, and the limiters go on with their equal shares. It returns nil.
func (s *Sharer) Run(ctx context.Context) error {
	s.beat(ctx)
	beats := time.NewTicker(s.o.Beat)
	defer beats.Stop()
	rest := time.NewTimer(0) // fires when the next settlement may begin
	defer rest.Stop()
	pause, wake := s.o.Pause, (<-chan struct{})(nil)
	for {
		select {
		case <-ctx.Done():
			s.leave(ctx)
			return nil
		case <-beats.C:
			s.beat(ctx)
		case <-rest.C:
			wake = s.wake
		case <-wake:
			if wake = nil; s.settle(ctx) {
				pause = s.o.Pause
			} else {
				pause = min(2*pause, maxPause)
			}
			rest.Reset(pause)
		}
	}
}

func (s *Sharer) beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Patience)
	defer cancel()
	n, err := s.ledger.Beat(ctx)
	s.heard(ctx, err)
	if err != nil {
		return
	}
	for _, l := range s.limiters {
		l.parts.Store(int64(max(n, 1)))
	}
	s.o.Beaten(n)
}

// leave is told once the process answers no more requests.
func (s *Sharer) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Patience)
	defer cancel()
	if err := s.ledger.Leave(ctx); err != nil {
		s.o.Log.DebugContext(ctx, "rate limits: left without a word", "error", err)
	}
}

// settle tells the ledger about every key that waits for it.
func (s *Sharer) settle(ctx context.Context) bool {
	var claims []Claim
	var of []*Limiter
	for _, l := range s.limiters {
		claims = l.collect(claims)
		for len(of) < len(claims) {
			of = append(of, l)
		}
	}
	if len(claims) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Patience)
	defer cancel()
	granted, err := s.ledger.Settle(ctx, claims)
	for i := range claims {
		if err != nil {
			of[i].settled(claims[i], claims[i].Spent, 0)
		} else {
			of[i].settled(claims[i], 0, granted[i])
		}
	}
	s.heard(ctx, err)
	s.o.Settled(len(claims), err)
	return err == nil
}

// heard logs when the ledger goes away, and when it is back.
func (s *Sharer) heard(ctx context.Context, err error) {
	switch away := err != nil; {
	case away == s.away:
		return
	case away:
		s.o.Log.WarnContext(ctx, "rate limits: the ledger does not answer; this process grants its equal share", "error", err)
	default:
		s.o.Log.InfoContext(ctx, "rate limits: the ledger is back")
	}
	s.away = err != nil
}

// collect adds a claim for each key that waits. What it claims as spent is with the ledger until settled says otherwise.
func (l *Limiter) collect(claims []Claim) []Claim {
	now := int64(l.now().Sub(l.epoch))
	for i := range l.stripes {
		s := &l.stripes[i]
		s.mu.Lock()
		for _, key := range s.asks {
			c, known := s.cells[key]
			if !known || c.asking != waiting {
				continue // forgotten for want of room, and maybe known anew since
			}
			claim := Claim{Rule: l.name, Key: key, Rate: l.of(key), Spent: c.spent}
			if c.wants(claim.Rate, now) {
				claim.Want = max(claim.Rate.slice(), c.lacked)
			}
			c.spent, c.lacked, c.asking = 0, 0, claimed
			s.cells[key] = c
			claims = append(claims, claim)
		}
		s.asks = s.asks[:0]
		s.mu.Unlock()
	}
	return claims
}

// settled ends a key's wait: uncharged is what is still to be charged, leased what it may use.
func (l *Limiter) settled(claim Claim, uncharged, leased int64) {
	s := &l.stripes[stripeOf(claim.Key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.cells[claim.Key]
	if !known {
		return
	}
	if uncharged > 0 { // what the own share's bucket lacks at most: the rest has come back meanwhile
		c.spent = min(c.spent+uncharged, claim.Rate.Burst()/l.parts.Load())
	}
	c.lot = min(c.lot+leased, claim.Rate.Burst())
	c.asking = quiet
	s.cells[claim.Key] = c
}
