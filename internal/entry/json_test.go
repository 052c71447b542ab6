package entry_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/canon"
	"auditlog/internal/entry"
)

var update = flag.Bool("update", false, "write the golden files anew")

func id(last byte) eventstore.EventID {
	return eventstore.EventID{0x01, 0x99, 0xa0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, last}
}

const at eventstore.Micros = 1_795_428_000_123_456 // 2026-11-23T10:00:00.123456Z

// full is an entry with every field.
func full() entry.Entry {
	occurred := at - 1_000_000
	return entry.Entry{
		Tenant: eventstore.TenantID(id(0xee)), ID: id(1), Type: eventstore.EntryRecorded, Position: 1207, Offset: 9, RecordedAt: at, OccurredAt: occurred,
		Public: format.Public{
			ID: id(1), Type: eventstore.EntryRecorded, OccurredAt: &occurred, Action: "document.shared", Severity: "WARNING", Outcome: "denied",
			ActorType: "service", ResourceType: "document", Roles: []string{"writer", "reader"},
		},
		Private: format.Private{
			Salt:       [16]byte{1},
			Actor:      format.Actor{ID: "svc-7", Name: "Ada \"the\" Countess", Email: "ada@example.org", SessionID: "s-1"},
			OnBehalfOf: []format.Ref{{Type: "user", ID: "u-1", Name: "Zoë"}, {Type: "group", ID: "g-2"}},
			Resource:   format.Resource{ID: "d-1", Name: "Plan\t1"},
			Related:    []format.Ref{{Type: "folder", ID: "f-1"}},
			Message:    "line one\r\nline two", Source: format.Source{IP: "2001:db8::1", UserAgent: "curl/8", Service: "web", Version: "1.2"},
			RequestID: "r-1", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
			Before: []byte(`{"a":1,"b":{"c":[1,2],"d":"x"},"gone":null}`), After: []byte(`{"a":1,"b":{"c":[1,3],"d":"x"},"new":{"e":true}}`),
			Metadata: []byte(`{"k":"v","n":1.5}`), Subjects: []string{"subject-1", "subject-2"}, Emitter: "importer", IdempotencyKey: "key-1",
		},
		Amendments: []entry.Amendment{
			{EventID: id(2), Position: 1210, At: at + 5, By: "clerk", Reason: "typo", Message: "corrected", Metadata: []byte(`{"m":1}`)},
			{EventID: id(3), Position: 1211, At: at + 6, By: "clerk", Reason: "again"},
		},
		Newest: 1211,
	}
}

// minimal is an entry with no more than what is required.
func minimal() entry.Entry {
	return entry.Entry{
		Tenant: eventstore.TenantID(id(0xee)), ID: id(1), Type: eventstore.EntryRecorded, Position: 2, RecordedAt: at, OccurredAt: at,
		Public:  format.Public{ID: id(1), Action: "READ", Severity: "INFO", Outcome: "success", ActorType: "user", ResourceType: "file"},
		Private: format.Private{Actor: format.Actor{ID: "u"}, Emitter: "w"}, Newest: 2,
	}
}

// erased is full after its erasure, as Fold makes it.
func erased() entry.Entry {
	e := full()
	e.Private = format.Private{}
	for i, a := range e.Amendments {
		e.Amendments[i] = entry.Amendment{EventID: a.EventID, Position: a.Position, At: a.At}
	}
	e.Erased = &entry.Erasure{At: at + 60_000_000, By: id(4)}
	return e
}

// own is an event of the log about itself.
func own() entry.Entry {
	e := minimal()
	e.Type, e.Position, e.Public.Action, e.Public.ResourceType = eventstore.TenantCreated, 1, "tenant.created", "tenant"
	e.Public.Roles = []string{"admin"}
	e.Private.Metadata = []byte(`{"name":"Demo","retention_days":396,"slug":"demo"}`)
	return e
}

func TestAppendJSONMatchesGoldenFiles(t *testing.T) {
	for name, e := range map[string]entry.Entry{"full": full(), "minimal": minimal(), "erased": erased(), "own": own()} {
		t.Run(name, func(t *testing.T) {
			got := e.AppendJSON(nil)
			doc, err := canon.Parse(got, canon.Limits{})
			if err != nil {
				t.Fatalf("not strict JSON: %v\n%s", err, got)
			}
			doc.Release()
			var readable bytes.Buffer
			if err := json.Indent(&readable, got, "", "  "); err != nil {
				t.Fatal(err)
			}
			readable.WriteByte('\n')
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, readable.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(readable.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", readable.Bytes(), want)
			}
		})
	}
}

func TestAppendJSONAppends(t *testing.T) {
	e := minimal()
	got := e.AppendJSON([]byte("before"))
	if !bytes.HasPrefix(got, []byte(`before{"id":`)) || !bytes.Equal(got[6:], e.AppendJSON(nil)) {
		t.Errorf("got %s", got)
	}
}

func TestErasedEntryShowsNothingPrivate(t *testing.T) {
	e := erased()
	got := e.AppendJSON(nil)
	for _, private := range []string{"svc-7", "Countess", "ada@", "s-1", "u-1", "d-1", "line one", "2001:db8", "r-1", "subject", "importer", "key-1", "clerk", "typo", "corrected", "metadata", "changes"} {
		if bytes.Contains(got, []byte(private)) {
			t.Errorf("shows %q: %s", private, got)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	for name, e := range map[string]entry.Entry{"full": full(), "minimal": minimal()} {
		b.Run(name, func(b *testing.B) {
			buf := e.AppendJSON(nil)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = e.AppendJSON(buf[:0])
			}
		})
	}
}
