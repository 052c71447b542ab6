package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is what is wrong with an entry.
type Kind string

// The kinds of findings.
const (
	Lost      Kind = "lost"                // acknowledged, or in the store, and not there
	Doubled   Kind = "doubled"             // there more than once
	Present   Kind = "refused but present" // every try was refused, and it is there
	Moved     Kind = "moved"               // elsewhere, or under another id, than an acknowledgement says
	Unasked   Kind = "never sent"          // there, and no client sent it
	Disorder  Kind = "out of order"        // a stream's message behind a later one
	Miscount  Kind = "miscounted"          // a group of the statistics
	LeftAside Kind = "left aside"          // parked, or a dead letter
)

// Finding is one fault.
type Finding struct {
	Kind   Kind
	View   string // "store", "index", "statistics", "stream 1", …, "parked"
	Key    string // of the entry; of a group: its name
	Detail string
}

func (f Finding) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s: %q is %s %s", f.View, f.Key, f.Kind, f.Detail))
}

// fate is what the clients know of one key.
type fate struct {
	receipt *Receipt // of an acknowledgement
	unknown bool     // a try's outcome is not known
	tries   []*Call
}

func (f *fate) String() string {
	var b strings.Builder
	for _, c := range f.tries[max(0, len(f.tries)-5):] {
		fmt.Fprintf(&b, "; %v", c)
	}
	return b.String()
}

// checker compares one tenant's calls with its views.
type checker struct {
	views    *Views
	fates    map[string]*fate
	keys     map[string]string // id → key, from receipts and from the store
	findings []Finding
}

// Check names everything in which a tenant's views differ from what its clients know and from the log. Nothing: all is well.
func Check(calls []Call, v Views) []Finding {
	c := &checker{views: &v, fates: map[string]*fate{}, keys: map[string]string{}}
	for i := range calls {
		c.learn(&calls[i])
	}
	c.store()
	c.index()
	c.groups()
	for i, got := range v.Streams {
		c.stream(fmt.Sprint("stream ", i+1), got)
	}
	for _, what := range v.Parked {
		c.find(LeftAside, "parked", what, "")
	}
	return c.findings
}

func (c *checker) find(kind Kind, view, key, format string, args ...any) {
	f := Finding{Kind: kind, View: view, Key: key, Detail: fmt.Sprintf(format, args...)}
	if fate := c.fates[key]; fate != nil {
		f.Detail += fate.String()
	}
	c.findings = append(c.findings, f)
}

// learn notes a call's outcome for each of its keys.
func (c *checker) learn(call *Call) {
	for i, key := range call.Keys {
		f := c.fates[key]
		if f == nil {
			f = &fate{}
			c.fates[key] = f
		}
		f.tries = append(f.tries, call)
		switch {
		case call.Acknowledged() && i < len(call.Receipts):
			r := call.Receipts[i]
			if f.receipt != nil && *f.receipt != r {
				c.find(Moved, "answers", key, "%+v and %+v", *f.receipt, r)
			}
			f.receipt = &r
			c.keys[r.ID] = key
		case !call.Refused():
			f.unknown = true
		}
	}
}

// store compares the log with the fates.
func (c *checker) store() {
	at := map[string][]int64{}
	for i, e := range c.views.Log {
		if e.Type != "entry.recorded" {
			continue
		}
		key := cmp.Or(e.Key, c.keys[e.ID])
		if key == "" || c.fates[key] == nil {
			c.find(Unasked, "store", cmp.Or(key, e.ID), "at %d", i+1)
		}
		at[key] = append(at[key], int64(i+1))
		if c.keys[e.ID] == "" {
			c.keys[e.ID] = key
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.fates)) {
		f, places := c.fates[key], at[key]
		switch {
		case len(places) > 1:
			c.find(Doubled, "store", key, "at %v", places)
		case f.receipt == nil && !f.unknown && len(places) > 0:
			c.find(Present, "store", key, "at %v", places)
		case f.receipt != nil && len(places) == 0:
			c.find(Lost, "store", key, "acknowledged at %d", f.receipt.Position)
		case f.receipt != nil && (places[0] != f.receipt.Position || c.views.Log[places[0]-1].ID != f.receipt.ID):
			c.find(Moved, "store", key, "acknowledged as %+v, at %d as %s", *f.receipt, places[0], c.views.Log[places[0]-1].ID)
		}
	}
}

// index compares what was found with the log.
func (c *checker) index() {
	times := map[string]int{}
	for _, id := range c.views.Index {
		times[id]++
	}
	for i, e := range c.views.Log {
		if e.Type != "entry.recorded" {
			continue
		}
		switch n := times[e.ID]; {
		case n == 0:
			c.find(Lost, "index", c.keys[e.ID], "stored at %d", i+1)
		case n > 1:
			c.find(Doubled, "index", c.keys[e.ID], "found %d times", n)
		}
		delete(times, e.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(times)) {
		c.find(Unasked, "index", cmp.Or(c.keys[id], id), "found, and not in the store")
	}
}

// namedKeys bounds how many keys a finding about a group lists.
const namedKeys = 20

// groups compares the statistics with the log.
func (c *checker) groups() {
	want := map[string][]string{}
	for _, e := range c.views.Log {
		if e.Type == "entry.recorded" {
			want[e.Group] = append(want[e.Group], c.keys[e.ID])
		}
	}
	all := maps.Clone(c.views.Groups)
	if all == nil {
		all = map[string]int{}
	}
	for group := range want {
		all[group] += 0
	}
	for _, group := range slices.Sorted(maps.Keys(all)) {
		if keys := want[group]; all[group] != len(keys) {
			c.find(Miscount, "statistics", group, "as %d instead of %d, of %v", all[group], len(keys), keys[:min(len(keys), namedKeys)])
		}
	}
}

// stream compares a capture with the log: each message once, in order.
func (c *checker) stream(view string, got []Message) {
	seen, last := map[Message]int{}, int64(0)
	for _, m := range got {
		seen[m]++
		if seen[m] == 1 && m.Position < last {
			c.find(Disorder, view, c.at(m.Position), "%s at %d behind %d", m.Kind, m.Position, last)
		}
		last = max(last, m.Position)
	}
	for _, m := range c.views.stream() {
		switch n := seen[m]; {
		case n == 0:
			c.find(Lost, view, c.at(m.Position), "%s at %d", m.Kind, m.Position)
		case n > 1:
			c.find(Doubled, view, c.at(m.Position), "%s at %d, %d times", m.Kind, m.Position, n)
		}
		delete(seen, m)
	}
	for m := range seen {
		c.find(Unasked, view, c.at(m.Position), "%s at %d, and not in the store", m.Kind, m.Position)
	}
}

// at is the key of the entry that a position is about.
func (c *checker) at(position int64) string {
	if position < 1 || position > int64(len(c.views.Log)) {
		return ""
	}
	e := c.views.Log[position-1]
	return c.keys[cmp.Or(e.EntryID, e.ID)]
}
