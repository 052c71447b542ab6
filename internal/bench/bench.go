// Package bench measures the service against what limits it: each figure stands beside its limit, and both sides of a
// ratio are measured in the same run on the same machine. Nothing here is a test: figures are printed, never asserted.
//
// The service runs as processes of its own, so that the generator's work is counted apart; both still share the machine's
// cores. Rate limits are off. The embedded tier lies in fresh data dirs. The distributed tier lies on
// servers that run already, in databases, queues and indices of the run's own, which are removed at its end.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Line is one figure.
type Line struct {
	Name        string             `json:"name"`
	Value       float64            `json:"value"`
	Unit        string             `json:"unit"`
	Floor       float64            `json:"floor,omitempty"` // what must be reached; 0: stated only
	Goal        float64            `json:"goal,omitempty"`
	Least       bool               `json:"at_least"` // more is better: the value is to be at least the floor, else at most
	Sides       map[string]float64 `json:"sides,omitempty"`
	Cache       string             `json:"cache"` // warm or cold
	Workers     string             `json:"workers"`
	Limits      string             `json:"rate_limits"` // off
	Connections int                `json:"connections"`
	Samples     int                `json:"samples"`
	Entries     int                `json:"entries,omitempty"` // stored in the tenant
	Load        float64            `json:"load,omitempty"`    // entries/s that are sent meanwhile
	Tier        string             `json:"tier"`
}

// under is a line with the load of this one.
func (l Line) under(of Line) Line {
	of.Load = l.Load
	return of
}

// verdict compares with floor and goal.
func (l Line) verdict() string {
	reached := func(bound float64) bool { return l.Value == bound || (l.Value > bound) == l.Least }
	switch {
	case l.Goal != 0 && reached(l.Goal):
		return "goal"
	case l.Floor == 0:
		return "stated"
	case reached(l.Floor):
		return "floor"
	default:
		return "MISSED"
	}
}

// Options of a run. Zero values take the defaults.
type Options struct {
	Binary   string        // the program to run
	Dir      string        // for data dirs; emptied by the caller
	Servers  Servers       // measure the distributed tier; default: the embedded one
	Only     []string      // names of steps; default all
	Entries  int           // in the tenant for search, paging and export; default 1,000,000
	Bulks    int           // bulks of 1,000 per write measure; default 100
	Duration time.Duration // of each measure by time; default 5 s
	Sustain  time.Duration // how long the distributed tier is to hold its rate; default 1 min
	Samples  int           // of each latency; default 1,000
	Tenants  int           // for writes by many of them; default 10,000
	Rows     int           // for writes into a table that holds many; default 1,000,000

	Profiles  string  // folder for profiles of the write steps; default: none are taken
	Earlier   []Line  // to compare with
	Tolerance float64 // percent by which a figure may be worse than it was

	Lines io.Writer    // JSON lines
	Table io.Writer    // for people
	Say   func(string) // told what is being measured
}

func (o Options) withDefaults() Options {
	if o.Entries <= 0 {
		o.Entries = 1_000_000
	}
	if o.Bulks <= 0 {
		o.Bulks = 100
	}
	if o.Duration <= 0 {
		o.Duration = 5 * time.Second
	}
	if o.Sustain <= 0 {
		o.Sustain = time.Minute
	}
	if o.Samples <= 0 {
		o.Samples = 1000
	}
	if o.Tenants <= 0 {
		o.Tenants = 10_000
	}
	if o.Rows <= 0 {
		o.Rows = million
	}
	return o
}

// run is one run of all measures.
type run struct {
	Options
	tier  string
	lines []Line
}

func (r *run) report(l Line) error {
	l.Tier, l.Limits = r.tier, "off"
	r.lines = append(r.lines, l)
	return json.NewEncoder(r.Lines).Encode(l)
}

// step is measures that need the same things.
type step struct {
	name, say string // without a name it is never left out
	measure   func(context.Context) error
}

// Steps are the names that Only takes; line stands for those behind it as well.
var Steps = []string{
	"start", "writes", "open", "sizes", "import", "tenants", "snapshot", "rows",
	"line", "rebuild", "sustained", "scale", "latency", "calls", "search", "replay", "export",
}

var writeSteps, lineSteps = Steps[1:8], Steps[9:]

// ServerStep is the write step of the distributed tier alone: COPY is its limit.
const ServerStep = "import"

// QuickSteps are those that tell something in seconds; the others need tenants, rows or time to matter.
var QuickSteps = []string{"start", "writes", "open", "sizes", "import", "line"}

// wants tells whether a step is to be taken.
func (o Options) wants(name string) bool {
	return len(o.Only) == 0 || name == "" || slices.Contains(o.Only, name)
}

// take takes the steps that are wanted.
func (o Options) take(ctx context.Context, steps []step, wants func(name string) bool) error {
	for _, s := range steps {
		if !wants(s.name) {
			continue
		}
		o.Say(s.say)
		if err := s.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.say, err)
		}
	}
	return nil
}

// Run carries out every measure. Errors: ErrWorse beside what a measure met.
func Run(ctx context.Context, o Options) error {
	r := &run{Options: o.withDefaults(), tier: "embedded"}
	steps := []step{
		{"start", "start and idle memory", r.start},
		{"writes", "writes with workers off", r.writes},
		{"line", "the whole line: sustained rate, then reads", r.wholeLine},
	}
	if o.Servers != (Servers{}) {
		r.tier = "distributed"
		steps = []step{
			{"writes", "writes with workers stopped", r.writes},
			{"line", "the whole line: rebuild, sustained rate, latencies, reads", r.serverLine},
		}
	}
	parts := map[string][]string{"writes": writeSteps, "line": lineSteps}
	wants := func(name string) bool {
		return o.wants(name) || slices.ContainsFunc(parts[name], func(part string) bool { return slices.Contains(o.Only, part) })
	}
	return errors.Join(r.take(ctx, steps, wants), r.table(), r.compared())
}

// writes measures one service after the other way of writing to it.
func (r *run) writes(ctx context.Context) error {
	return r.withWriter(ctx, func(ctx context.Context, w *writer) error {
		steps := []step{
			{"writes", "  bulks and single entries against their limits", w.ratios},
			{"open", "  open loop", w.openLoop},
			{"sizes", "  entries of 4 KiB", w.sizes},
			{"import", "  import of a file", w.imported},
			{"tenants", "  many tenants", w.many},
			{"snapshot", "  a snapshot held open", w.snapshot},
			{"rows", "  many rows stored", w.rows},
		}
		if w.stack == nil {
			steps = slices.DeleteFunc(steps, func(s step) bool { return s.name == ServerStep })
		}
		return r.take(ctx, steps, r.wants)
	})
}

func (r *run) table() error {
	w := tabwriter.NewWriter(r.Table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tvalue\t\tfloor\tgoal\treached\tsides")
	for _, l := range r.lines {
		fmt.Fprintf(w, "%s\t%.3g\t%s\t%.3g\t%.3g\t%s\t", l.Name, l.Value, l.Unit, l.Floor, l.Goal, l.verdict())
		names := make([]string, 0, len(l.Sides))
		for name := range l.Sides {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(w, "%s %.4g  ", name, l.Sides[name])
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// times are durations of one kind of operation.
type times []time.Duration

// at is the quantile q, by nearest rank.
func (t times) at(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func (t times) ms(q float64) float64 { return float64(t.at(q).Microseconds()) / 1000 }
