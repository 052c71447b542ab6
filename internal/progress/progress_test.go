package progress

import (
	"strings"
	"testing"
	"time"
)

// clock steps by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestPlainLines(t *testing.T) {
	var out strings.Builder
	c := &clock{at: time.Unix(0, 0)}
	b := New(&out, "import", "records", Options{Now: c.now})
	b.Update(Work{Count: 1, Done: 1, Total: 100}) // too early
	c.at = c.at.Add(5 * time.Second)
	b.Update(Work{Count: 500, Done: 25, Total: 100})
	b.Update(Work{Count: 501, Done: 25, Total: 100}) // too early
	c.at = c.at.Add(5 * time.Second)
	b.Update(Work{Count: 2000})
	b.Finish()
	want := "import  25 % 500 records, 100/s, 15s left\nimport 2000 records, 200/s\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestTerminal(t *testing.T) {
	var out strings.Builder
	c := &clock{at: time.Unix(0, 0)}
	b := New(&out, "x", "entries", Options{Terminal: true, Now: c.now})
	c.at = c.at.Add(time.Second)
	b.Update(Work{Count: 10, Done: 12, Total: 24})
	c.at = c.at.Add(time.Second)
	b.Update(Work{Count: 20, Done: 24, Total: 24})
	b.Finish()
	b.Update(Work{Count: 30}) // shows nothing any more
	first := "\rx [############............]  50 % 10 entries, 10/s, 1s left"
	second := "\rx [########################] 100 % 20 entries, 10/s"
	gap := len(first) - len(second)
	want := first + second + strings.Repeat(" ", gap) + "\r" + strings.Repeat(" ", len(second)-1) + "\r"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}
