// Package progress tells whoever waits for long work how far it is: a bar that redraws itself on a terminal, a plain
// line every few seconds elsewhere.
//
// Output is best effort: an error of the writer is ignored, so that a closed pipe stops no work.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Work is how far something is.
type Work struct {
	Count int64 // items done so far, e.g. records
	Done  int64 // of Total, in any unit, e.g. bytes of a file; for the share and the time left
	Total int64 // 0: unknown
}

// Options of a Bar. Zero values take the defaults.
type Options struct {
	Terminal bool          // redraw one line, instead of writing one at a time
	Every    time.Duration // between updates; default 100 ms on a terminal, else 5 s
	Now      func() time.Time
}

// Bar shows one piece of work. It is safe for concurrent use.
type Bar struct {
	w           io.Writer
	label, unit string
	o           Options

	mu     sync.Mutex // guards the fields below
	start  time.Time
	shown  time.Time
	width  int // of the line on the terminal
	ending bool
}

// IsTerminal tells whether f is one.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// For is a bar on a file such as standard error, drawn as fits it.
func For(f *os.File, label, unit string) *Bar {
	return New(f, label, unit, Options{Terminal: IsTerminal(f)})
}

// New starts a bar; unit is the plural of what is counted.
func New(w io.Writer, label, unit string, o Options) *Bar {
	if o.Every <= 0 {
		o.Every = 5 * time.Second
		if o.Terminal {
			o.Every = 100 * time.Millisecond
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	now := o.Now()
	return &Bar{w: w, label: label, unit: unit, o: o, start: now, shown: now}
}

// Update shows the work when the last update is old enough.
func (b *Bar) Update(work Work) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.o.Now(); !b.ending && now.Sub(b.shown) >= b.o.Every {
		b.shown = now
		b.show(b.line(work, now.Sub(b.start)))
	}
}

// Finish takes the bar off the terminal, so that what follows starts on a clean line. No update shows after it.
func (b *Bar) Finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ending = true
	if b.width > 0 {
		_, _ = fmt.Fprint(b.w, "\r"+strings.Repeat(" ", b.width)+"\r")
		b.width = 0
	}
}

func (b *Bar) show(line string) {
	if !b.o.Terminal {
		_, _ = fmt.Fprintln(b.w, line)
		return
	}
	_, _ = fmt.Fprint(b.w, "\r"+line+strings.Repeat(" ", max(0, b.width-len(line))))
	b.width = len(line)
}

const cells = 24

func (b *Bar) line(w Work, took time.Duration) string {
	var s strings.Builder
	s.WriteString(b.label)
	share := 0.0
	if w.Total > 0 {
		share = min(1, float64(w.Done)/float64(w.Total))
		if b.o.Terminal {
			full := int(share * cells)
			s.WriteString(" [" + strings.Repeat("#", full) + strings.Repeat(".", cells-full) + "]")
		}
		fmt.Fprintf(&s, " %3.0f %%", share*100)
	}
	fmt.Fprintf(&s, " %d %s, %.0f/s", w.Count, b.unit, float64(w.Count)/max(took.Seconds(), 1e-3))
	if share > 0 && share < 1 {
		fmt.Fprintf(&s, ", %s left", time.Duration(float64(took)*(1-share)/share).Round(time.Second))
	}
	return s.String()
}
