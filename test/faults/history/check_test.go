package history_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"auditlog/test/faults/history"
)

// sound is a history with every kind of outcome, and views that agree with it: k1 and k2 are acknowledged, k3's outcome
// is unknown and it is there, k4's likewise and it is not, k5 is refused, k6 is acknowledged after a try without an answer,
// and erased.
func sound() ([]history.Call, history.Views) {
	calls := []history.Call{
		{Keys: []string{"k1", "k2"}, Status: 201, Receipts: []history.Receipt{{ID: "i1", Position: 2}, {ID: "i2", Position: 3}}},
		{Keys: []string{"k3"}, Status: 503},
		{Keys: []string{"k4"}},
		{Keys: []string{"k5"}, Status: 422},
		{Keys: []string{"k6"}},
		{Keys: []string{"k6"}, Status: 201, Receipts: []history.Receipt{{ID: "i6", Position: 5}}},
	}
	entry := func(n int, key string) history.Event {
		return history.Event{ID: fmt.Sprint("i", n), Type: "entry.recorded", Key: key, Group: fmt.Sprint("g", n%2)}
	}
	log := []history.Event{
		{ID: "t", Type: "tenant.created"}, entry(1, "k1"), entry(2, "k2"), entry(3, "k3"), entry(6, ""),
		{ID: "a", Type: "entry.amended", EntryID: "i1"}, {ID: "e", Type: "entry.erased", EntryID: "i6"},
	}
	stream := []history.Message{
		{Kind: "entry", Position: 2}, {Kind: "entry", Position: 3}, {Kind: "entry", Position: 4}, {Kind: "entry", Position: 5},
		{Kind: "amended", Position: 6}, {Kind: "erased", Position: 7},
	}
	return calls, history.Views{
		Log: log, Index: []string{"i6", "i3", "i2", "i1"}, Groups: map[string]int{"g0": 2, "g1": 2},
		Streams: [][]history.Message{stream, slices.Clone(stream)},
	}
}

func TestSoundHistory(t *testing.T) {
	if found := history.Check(sound()); len(found) != 0 {
		t.Errorf("found %v", found)
	}
}

// TestSeededFaults breaks one thing at a time: exactly that is found, under the key of the entry it befell.
func TestSeededFaults(t *testing.T) {
	stored := func(v *history.Views, e history.Event) { // everywhere, so that only the fault itself shows
		v.Log = append(v.Log, e)
		v.Index = append(v.Index, e.ID)
		v.Groups[e.Group]++
		for i := range v.Streams {
			v.Streams[i] = append(v.Streams[i], history.Message{Kind: "entry", Position: int64(len(v.Log))})
		}
	}
	for name, c := range map[string]struct {
		seed func(calls []history.Call, v *history.Views)
		want []string // view, key, kind
	}{
		"lost by the store": {func(calls []history.Call, v *history.Views) {
			calls[1].Status, calls[1].Receipts = 201, []history.Receipt{{ID: "i9", Position: 9}}
			calls[1].Keys = []string{"k9"}
			v.Log[3].Key = ""
		}, []string{"store k9 lost", "store i3 never sent"}},
		"acknowledged and gone": {func(calls []history.Call, _ *history.Views) {
			calls[2].Status, calls[2].Receipts = 201, []history.Receipt{{ID: "i4", Position: 8}}
		}, []string{"store k4 lost"}},
		"doubled by a retry": {func(_ []history.Call, v *history.Views) {
			stored(v, history.Event{ID: "i9", Type: "entry.recorded", Key: "k2", Group: "g1"})
		}, []string{"store k2 doubled"}},
		"doubled without an answer": {func(_ []history.Call, v *history.Views) {
			stored(v, history.Event{ID: "i9", Type: "entry.recorded", Key: "k4", Group: "g1"})
			stored(v, history.Event{ID: "i8", Type: "entry.recorded", Key: "k4", Group: "g1"})
		}, []string{"store k4 doubled"}},
		"refused but present": {func(_ []history.Call, v *history.Views) {
			stored(v, history.Event{ID: "i5", Type: "entry.recorded", Key: "k5", Group: "g1"})
		}, []string{"store k5 refused but present"}},
		"never sent": {func(_ []history.Call, v *history.Views) {
			stored(v, history.Event{ID: "i9", Type: "entry.recorded", Key: "k9", Group: "g1"})
		}, []string{"store k9 never sent"}},
		"another place than told": {func(calls []history.Call, _ *history.Views) {
			calls[0].Receipts[1].Position = 4
		}, []string{"store k2 moved"}},
		"another id than told": {func(_ []history.Call, v *history.Views) {
			v.Log[2].ID, v.Index[2] = "i9", "i9"
		}, []string{"store k2 moved"}},
		"two answers to one key": {func(calls []history.Call, _ *history.Views) {
			calls[4].Status, calls[4].Receipts = 201, []history.Receipt{{ID: "i6", Position: 6}}
		}, []string{"answers k6 moved"}},
		"lost by the index":    {func(_ []history.Call, v *history.Views) { v.Index = v.Index[1:] }, []string{"index k6 lost"}},
		"doubled by the index": {func(_ []history.Call, v *history.Views) { v.Index = append(v.Index, "i2") }, []string{"index k2 doubled"}},
		"only in the index":    {func(_ []history.Call, v *history.Views) { v.Index = append(v.Index, "i5") }, []string{"index i5 never sent"}},
		"missing in a count":   {func(_ []history.Call, v *history.Views) { v.Groups["g1"]-- }, []string{"statistics g1 miscounted"}},
		"no count":             {func(_ []history.Call, v *history.Views) { delete(v.Groups, "g0") }, []string{"statistics g0 miscounted"}},
		"counted in another":   {func(_ []history.Call, v *history.Views) { v.Groups["g7"]++ }, []string{"statistics g7 miscounted"}},
		"lost by a stream":     {func(_ []history.Call, v *history.Views) { v.Streams[1] = v.Streams[1][1:] }, []string{"stream 2 k1 lost"}},
		"erasure lost by it":   {func(_ []history.Call, v *history.Views) { v.Streams[0] = v.Streams[0][:5] }, []string{"stream 1 k6 lost"}},
		"doubled by a stream":  {func(_ []history.Call, v *history.Views) { v.Streams[0] = append(v.Streams[0], v.Streams[0][4]) }, []string{"stream 1 k1 doubled"}},
		"out of order":         {func(_ []history.Call, v *history.Views) { slices.Reverse(v.Streams[0][1:3]) }, []string{"stream 1 k2 out of order"}},
		"a message of something": {func(_ []history.Call, v *history.Views) {
			v.Streams[0] = append(v.Streams[0], history.Message{Kind: "entry", Position: 8})
		}, []string{"stream 1  never sent"}},
		"a dead letter":          {func(_ []history.Call, v *history.Views) { v.Parked = []string{"range 3"} }, []string{"parked range 3 left aside"}},
		"nothing is left of all": {func(_ []history.Call, v *history.Views) { *v = history.Views{} }, []string{"store k1 lost", "store k2 lost", "store k6 lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			calls, views := sound()
			views.Groups = maps.Clone(views.Groups)
			c.seed(calls, &views)
			var got []string
			for _, f := range history.Check(calls, views) {
				got = append(got, fmt.Sprintf("%s %s %s", f.View, f.Key, f.Kind))
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if strings.Join(got, ", ") != strings.Join(c.want, ", ") {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestHistoryKnowsWhatIsUnderWay(t *testing.T) {
	h := history.New()
	first, second := h.Begin("a"), h.Begin("b")
	if h.UnderWay("") != 2 || h.UnderWay("a") != 1 {
		t.Errorf("%d are under way, %d to a", h.UnderWay(""), h.UnderWay("a"))
	}
	second(history.Call{Tenant: "x", Keys: []string{"k"}})
	at := h.Since()
	first(history.Call{Tenant: "y", Status: 422})
	if h.UnderWay("") != 0 {
		t.Errorf("%d are under way", h.UnderWay(""))
	}
	if calls := h.From(at); len(calls) != 1 || calls[0].Tenant != "y" || calls[0].To != "a" || calls[0].Sent > at || calls[0].Returned < at {
		t.Errorf("from %v: %+v", at, calls)
	}
	if calls := h.Of("x"); len(calls) != 1 || calls[0].To != "b" || calls[0].Acknowledged() || calls[0].Refused() {
		t.Errorf("of x: %+v", calls)
	}
}
