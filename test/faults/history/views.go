package history

// Event is a stored event as a replay shows it; position is its place in the log, from 1.
type Event struct {
	ID      string
	Type    string // e.g. "entry.recorded"
	EntryID string // of events about an entry
	Key     string // of an entry's content; "" when the content is erased
	Group   string // under which the statistics count an entry
}

// Message is one message of a live stream: "entry", "amended" or "erased", and its position.
type Message struct {
	Kind     string
	Position int64
}

// Views are what a tenant's readers show after all faults are healed and everything is caught up.
type Views struct {
	Log     []Event        // the whole log
	Index   []string       // ids of the entries that a walk over all pages found, each as often as it was found
	Groups  map[string]int // entries by group, as the statistics count them
	Streams [][]Message    // captures, each from the first position on
	Parked  []string       // parked events and dead letters that should not be, each as it is told of
}

// stream is what a capture must be.
func (v *Views) stream() (want []Message) {
	kinds := map[string]string{"entry.recorded": "entry", "entry.amended": "amended", "entry.erased": "erased"}
	for i := range v.Log {
		if kind := kinds[v.Log[i].Type]; kind != "" {
			want = append(want, Message{kind, int64(i + 1)})
		}
	}
	return want
}
