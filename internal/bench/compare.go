package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// ErrWorse says that figures are worse than those of the earlier run, by more than the tolerance.
var ErrWorse = errors.New("worse than the earlier run")

// ReadLines reads the JSON lines of a run. Of a figure that comes more than once the last counts. Errors: a line that is
// no figure, by its number.
func ReadLines(from io.Reader) ([]Line, error) {
	var lines []Line
	for in := json.NewDecoder(from); ; {
		var l Line
		switch err := in.Decode(&l); {
		case errors.Is(err, io.EOF) && len(lines) > 0:
			return lines, nil
		case errors.Is(err, io.EOF):
			return nil, errors.New("holds no figures")
		case err != nil:
			return nil, fmt.Errorf("figure %d: %w", len(lines)+1, err)
		case l.Name == "" || l.Tier == "":
			return nil, fmt.Errorf("figure %d has no name or no tier", len(lines)+1)
		}
		lines = append(lines, l)
	}
}

// change is what became of a figure.
type change struct {
	before, now Line
	percent     float64 // of the value before
	verdict     string  // better, worse, same (within the tolerance), or other: measured otherwise, so nothing follows
}

// changes sets each figure of now beside the one of the same name and tier, if there is one.
func changes(before, now []Line, tolerance float64) []change {
	var all []change
	for _, l := range now {
		for _, old := range slices.Backward(before) {
			if old.Name == l.Name && old.Tier == l.Tier {
				all = append(all, compare(old, l, tolerance))
				break
			}
		}
	}
	return all
}

func compare(before, now Line, tolerance float64) change {
	c := change{before: before, now: now, verdict: "same"}
	if before.Value != 0 {
		c.percent = 100 * (now.Value - before.Value) / before.Value
	} else if now.Value != 0 {
		c.percent = 100
	}
	gain := c.percent
	if !now.Least {
		gain = -gain
	}
	switch {
	case before.Unit != now.Unit || before.Connections != now.Connections || before.Workers != now.Workers || apart(before.Entries, now.Entries):
		c.verdict = "other"
	case gain < -tolerance:
		c.verdict = "worse"
	case gain > tolerance:
		c.verdict = "better"
	}
	return c
}

// apart tells numbers of stored entries that are too different to compare what they do to a figure.
func apart(a, b int) bool { return a > 2*b || b > 2*a }

// compared prints the changes since the earlier run. Errors: ErrWorse.
func (r *run) compared() error {
	if len(r.Earlier) == 0 {
		return nil
	}
	all := changes(r.Earlier, r.lines, r.Tolerance)
	w := tabwriter.NewWriter(r.Table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nfigure\tbefore\tafter\t\tchange\tis")
	worse := 0
	for _, c := range all {
		fmt.Fprintf(w, "%s\t%.3g\t%.3g\t%s\t%+.1f %%\t%s\n", c.now.Name, c.before.Value, c.now.Value, c.now.Unit, c.percent, c.verdict)
		if c.verdict == "worse" {
			worse++
		}
	}
	if n := len(r.lines) - len(all); n > 0 {
		fmt.Fprintf(w, "%d figures are new\n", n)
	}
	err := w.Flush()
	if worse > 0 {
		err = errors.Join(err, fmt.Errorf("%w: %d of %d figures by more than %g %%", ErrWorse, worse, len(all), r.Tolerance))
	}
	return err
}
