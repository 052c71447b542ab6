package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestBenchRuns takes a short look at every measure, so that they keep working; the figures are not judged.
func TestBenchRuns(t *testing.T) {
	r := command(t, nil, nil, "bench", "--entries", "6000", "--bulks", "2", "--duration", "200ms", "--samples", "20")
	if r.Code != 0 {
		t.Fatal(r.Err)
	}
	ratios := 0
	for text := range strings.Lines(r.Out) {
		var l struct {
			Name, Unit string
			Value      float64
			Sides      map[string]float64
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Name == "" || l.Value < 0 {
			t.Errorf("%v: %s", err, text)
		}
		if l.Unit == "ratio" {
			ratios++
			if len(l.Sides) < 2 {
				t.Errorf("a ratio without both sides: %s", text)
			}
		}
	}
	if lines := strings.Count(r.Out, "\n"); lines < 12 || ratios < 4 {
		t.Errorf("%d figures, %d of them ratios", lines, ratios)
	}
	if !strings.Contains(r.Err, "reached") {
		t.Errorf("there is no table: %s", r.Err)
	}
}
