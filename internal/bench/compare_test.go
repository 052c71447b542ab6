package bench

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestCompareByDirection(t *testing.T) {
	up := Line{Name: "rate", Tier: "embedded", Unit: "ratio", Least: true, Workers: "off", Connections: 2, Entries: 1000, Value: 0.5}
	down := Line{Name: "p99", Tier: "embedded", Unit: "ms", Workers: "off", Connections: 2, Value: 20}
	with := func(l Line, change func(*Line)) Line {
		change(&l)
		return l
	}
	for name, c := range map[string]struct {
		before, now Line
		percent     float64
		want        string
	}{
		"more of what is to be more":   {up, with(up, func(l *Line) { l.Value = 0.6 }), 20, "better"},
		"less of what is to be more":   {up, with(up, func(l *Line) { l.Value = 0.4 }), -20, "worse"},
		"more of what is to be less":   {down, with(down, func(l *Line) { l.Value = 25 }), 25, "worse"},
		"less of what is to be less":   {down, with(down, func(l *Line) { l.Value = 15 }), -25, "better"},
		"within the tolerance, up":     {up, with(up, func(l *Line) { l.Value = 0.46 }), -8, "same"},
		"within the tolerance, down":   {down, with(down, func(l *Line) { l.Value = 21 }), 5, "same"},
		"at the tolerance":             {down, with(down, func(l *Line) { l.Value = 22 }), 10, "same"},
		"the same":                     {down, down, 0, "same"},
		"from nothing":                 {with(down, func(l *Line) { l.Value = 0 }), down, 100, "worse"},
		"nothing again":                {with(down, func(l *Line) { l.Value = 0 }), with(down, func(l *Line) { l.Value = 0 }), 0, "same"},
		"other connections":            {up, with(up, func(l *Line) { l.Value, l.Connections = 0.1, 4 }), -80, "other"},
		"with workers":                 {up, with(up, func(l *Line) { l.Value, l.Workers = 0.1, "on" }), -80, "other"},
		"many more entries":            {up, with(up, func(l *Line) { l.Value, l.Entries = 0.1, 2001 }), -80, "other"},
		"some more entries":            {up, with(up, func(l *Line) { l.Value, l.Entries = 0.1, 1999 }), -80, "worse"},
		"a direction that older lacks": {with(up, func(l *Line) { l.Least = false }), with(up, func(l *Line) { l.Value = 0.6 }), 20, "better"},
	} {
		got := compare(c.before, c.now, 10)
		if got.verdict != c.want || got.percent-c.percent > 1e-9 || c.percent-got.percent > 1e-9 {
			t.Errorf("%s: %s by %v %%, want %s by %v", name, got.verdict, got.percent, c.want, c.percent)
		}
	}
}

// Figures are matched by name and tier, the last of a file counts, and new ones are not compared.
func TestCompared(t *testing.T) {
	earlier, err := ReadLines(strings.NewReader(`{"name":"a","tier":"embedded","unit":"ms","value":99}
{"name":"a","tier":"embedded","unit":"ms","value":10}
{"name":"a","tier":"distributed","unit":"ms","value":1}
{"name":"gone","tier":"embedded","unit":"ms","value":1}
`))
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	r := &run{Options: Options{Earlier: earlier, Tolerance: 10, Table: &table}, lines: []Line{
		{Name: "a", Tier: "embedded", Unit: "ms", Value: 10.5}, {Name: "new", Tier: "embedded", Unit: "ms", Value: 10},
	}}
	if err := r.compared(); err != nil {
		t.Errorf("%v: %s", err, table.String())
	}
	for _, want := range []string{"a       10      10.5   ms  +5.0 %  same", "1 figures are new"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, table.String())
		}
	}
	if strings.Contains(table.String(), "gone") {
		t.Errorf("what was not measured is compared:\n%s", table.String())
	}
	r.lines[0].Value = 11.5
	if err := r.compared(); !errors.Is(err, ErrWorse) || !strings.Contains(err.Error(), "1 of 1 figures by more than 10 %") {
		t.Errorf("%v", err)
	}
	r.Earlier = nil
	table.Reset()
	if err := r.compared(); err != nil || table.Len() > 0 {
		t.Errorf("nothing to compare with: %v %s", err, table.String())
	}
}

func TestReadLinesRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "holds no figures",
		"figure value floor":            "figure 1:",
		`{"name":"a","value":1}`:        "no tier",
		`{"name":"a","tier":"x"}{"na`:   "figure 2:",
		`{"tier":"embedded","value":1}`: "no name",
	} {
		if _, err := ReadLines(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
