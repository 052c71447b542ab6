package sqlite

import "auditlog/eventstore"

// typeCodes are the stored numbers of the event types; a number once given is never used again. Other types are
// stored as text, so that a new one needs no migration.
var typeCodes = map[eventstore.Type]int64{
	eventstore.EntryRecorded:   1,
	eventstore.EntryAmended:    2,
	eventstore.EntryErased:     3,
	eventstore.TenantCreated:   4,
	eventstore.LifecyclePurged: 5,
}

var typeNames = func() (names [6]eventstore.Type) {
	for name, code := range typeCodes {
		names[code] = name
	}
	return names
}()

func typeValue(t eventstore.Type) any {
	if t == eventstore.EntryRecorded {
		return int64(1) // no allocation, no look-up for nearly all
	}
	if code, ok := typeCodes[t]; ok {
		return code
	}
	return string(t)
}
