package overload

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// ledger is what the clients know of each request, by its number.
type ledger struct {
	mu    sync.Mutex
	pages []page
}

type page struct {
	of      *tenant
	entries int
	outcome
	seen uint32 // entries of it that the store holds, as bits
}

func (l *ledger) begin(of *tenant, entries int) (number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pages = append(l.pages, page{of: of, entries: entries})
	return len(l.pages) - 1
}

func (l *ledger) end(number int, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pages[number].outcome = o
}

// overloaded is the problem that promises that nothing was stored; 503 as such leaves it open.
const overloaded = "/problems/overloaded: "

// promised tells what an outcome says of the store: that the entries are there, that they are not, or nothing.
func (o *outcome) promised() (there, absent bool) {
	switch {
	case o.status == http.StatusCreated:
		return true, false
	case o.status >= 400 && o.status < 500, len(o.problem) >= len(overloaded) && o.problem[:len(overloaded)] == overloaded:
		return false, true
	}
	return false, false
}

// shown bounds what a failure prints.
const shown = 20

// check compares the store with the ledger: what was acknowledged is there once, where the answer said, and what was
// refused is not there. No client sends while it runs.
func (l *ledger) check(t *testing.T, s *service, all []tenant) {
	t.Helper()
	wrong, stored := 0, 0
	complain := func(format string, args ...any) {
		if wrong++; wrong <= shown {
			t.Errorf(format, args...)
		}
	}
	for i := range all {
		s.replay(all[i], func(e replayed) {
			stored++
			if complaint := l.found(all[i].ID, e); complaint != "" {
				complain("%s of %s at %d: %s", e.key, all[i].ID, e.position, complaint)
			}
		})
	}
	acknowledged, unknown := 0, 0
	for number := range l.pages {
		p := &l.pages[number]
		switch there, absent := p.promised(); {
		case there:
			acknowledged += p.entries
			if p.seen != 1<<p.entries-1 {
				complain("request %d of %d entries is acknowledged and lost: the store holds %b", number, p.entries, p.seen)
			}
		case !absent:
			unknown += p.entries
		}
	}
	if wrong > shown {
		t.Errorf("and %d more", wrong-shown)
	}
	t.Logf("store: %d entries acknowledged, %d stored, of %d it is not known; %d wrong", acknowledged, stored, unknown, wrong)
}

// found notes an entry of the store and tells what is wrong with it.
func (l *ledger) found(of string, e replayed) string {
	var number, i int
	if n, err := fmt.Sscanf(e.key, "%d.%d", &number, &i); n != 2 || err != nil || number >= len(l.pages) || i >= l.pages[number].entries || l.pages[number].of.ID != of {
		return "nobody sent it"
	}
	p := &l.pages[number]
	there, absent := p.promised()
	switch {
	case p.seen&(1<<i) != 0:
		return "it is there twice"
	case absent:
		return fmt.Sprintf("it was refused (%d %s)", p.status, p.problem)
	case there && (len(p.receipts) != p.entries || p.receipts[i].Position != e.position || p.receipts[i].ID != uuid.MustParse(e.id)):
		return fmt.Sprintf("as %s, acknowledged as %+v", e.id, p.receipts)
	}
	p.seen |= 1 << i
	return ""
}
