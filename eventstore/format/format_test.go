package format_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
)

var update = flag.Bool("update", false, "write the golden files anew: only for a new version of the format")

func eventID(s string) eventstore.EventID {
	id, err := eventstore.ParseEventID(s)
	if err != nil {
		panic(err)
	}
	return id
}

var (
	tenant   = eventstore.TenantID(eventID("0b9e4f00-5c1d-4e7a-9f52-3d1f6a2b4c5d"))
	occurred = eventstore.MicrosOf(time.Date(2026, 11, 23, 10, 14, 59, 5_000_000, time.UTC))
	recorded = eventstore.MicrosOf(time.Date(2026, 11, 23, 10, 15, 0, 123_456_000, time.UTC))
)

const position = eventstore.Position(1207)

// fullPrivate has every field; texts hold what RFC 8785 escapes and what it leaves alone.
func fullPrivate() format.Private {
	return format.Private{
		Salt:           [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff},
		Actor:          format.Actor{ID: "u-17", Name: "Zoë \"Z\" O'Hara", Email: "zoe@example.com", SessionID: "s\\1"},
		OnBehalfOf:     []format.Ref{{Type: "user", ID: "u-18", Name: "Boss"}, {Type: "org", ID: "o-1"}},
		Resource:       format.Resource{ID: "inv-2026/7", Name: "Invoice №7 </script>"},
		Related:        []format.Ref{{Type: "invoice", ID: "inv-6"}},
		Message:        "line one\nline two\ttab \u0001 \u007f \u2028 😀",
		Source:         format.Source{IP: "2001:db8::1", UserAgent: "curl/8.5", Service: "billing", Version: "1.2.3"},
		RequestID:      "req-1",
		TraceID:        "4bf92f3577b34da6a3ce929d0e0e4736",
		Before:         []byte(`{"amount":10}`),
		After:          []byte(`{"amount":12.5,"tags":["a","b"]}`),
		Metadata:       []byte(`{"k":null}`),
		Subjects:       []string{"u-17", "u-18"},
		Emitter:        "svc-billing",
		IdempotencyKey: "key-1",
		Reason:         "wrong amount",
	}
}

func fullPublic(private []byte) format.Public {
	return format.Public{
		ID: eventID("01935a7e-1f3b-7c2d-8e4f-5a6b7c8d9e0f"), Type: eventstore.EntryAmended, EntryID: eventID("01935a7e-0000-7000-8000-000000000001"),
		OccurredAt: &occurred, Action: "invoice.update", Severity: "warning", Outcome: "success", ActorType: "user", ResourceType: "invoice",
		Roles: []string{"auditor", "writer"}, Masked: []string{"/metadata/password"}, Private: format.Commit(private),
	}
}

// golden are the parts of two events: one with everything, one with nothing that may be left out.
func golden() map[string][]byte {
	full, least := fullPrivate(), format.Private{Salt: [16]byte{15: 1}}
	fullBytes, leastBytes := format.AppendPrivate(nil, &full), format.AppendPrivate(nil, &least)
	p, q := fullPublic(fullBytes), format.Public{ID: eventID("01935a7e-1f3b-7c2d-8e4f-5a6b7c8d9e10"), Type: eventstore.EntryRecorded, Private: format.Commit(leastBytes)}
	return map[string][]byte{
		"full.private.json": fullBytes, "full.public.json": format.AppendPublic(nil, &p),
		"least.private.json": leastBytes, "least.public.json": format.AppendPublic(nil, &q),
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes of stored events never change: everything that verifies depends on them.
func TestGoldenParts(t *testing.T) {
	for name, got := range golden() {
		if *update {
			if err := os.WriteFile(filepath.Join("testdata", name), got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := read(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
		var v map[string]any // another reader must understand them as well
		if err := json.Unmarshal(got, &v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGoldenHashes compares with hashes that were made outside of this code: sha256sum over testdata, and for leaves
// over "\x00" and the five lines. See testdata/README.md.
func TestGoldenHashes(t *testing.T) {
	want := map[string]string{}
	for line := range strings.Lines(string(read(t, "hashes.txt"))) {
		hash, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		want[name] = hash
	}
	for _, event := range []string{"full", "least"} {
		public, private := read(t, event+".public.json"), read(t, event+".private.json")
		commit, leaf := format.Commit(private), format.LeafHash(tenant, position, recorded, public)
		if got := hex.EncodeToString(commit[:]); got != want[event+".private.json"] {
			t.Errorf("commitment of %s: %s, want %s", event, got, want[event+".private.json"])
		}
		if got := hex.EncodeToString(leaf[:]); got != want[event+".leaf"] {
			t.Errorf("leaf of %s: %s, want %s", event, got, want[event+".leaf"])
		}
		p, err := format.DecodePublic(public)
		if err != nil || p.Private != commit || !bytes.Contains(public, []byte(`"private":"`+base64.RawURLEncoding.EncodeToString(commit[:])+`"`)) {
			t.Errorf("%s: the public part does not commit to the private one: %v", event, err)
		}
		lines := fmt.Sprintf("auditlog/v1\n%s\n%d\n%s\n%s", "0b9e4f00-5c1d-4e7a-9f52-3d1f6a2b4c5d", 1207, "2026-11-23T10:15:00.123456Z", public)
		if got := string(format.AppendLeafData(nil, tenant, position, recorded, public)); got != lines {
			t.Errorf("leaf data of %s:\n%s\nwant\n%s", event, got, lines)
		}
		if leaf != sha256.Sum256([]byte("\x00"+lines)) {
			t.Errorf("leaf of %s is not the hash of its lines", event)
		}
	}
}

// Two events whose lines run together otherwise must not share a leaf.
func TestLeafTellsFieldsApart(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, tc := range []struct {
		tenant eventstore.TenantID
		p      eventstore.Position
		at     eventstore.Micros
		public string
	}{
		{tenant, 1, recorded, "{}"}, {tenant, 11, recorded, "{}"}, {tenant, 1, recorded + 1, "{}"}, {tenant, 1, recorded, "{} "},
		{eventstore.TenantID{1}, 1, recorded, "{}"},
	} {
		h, name := format.LeafHash(tc.tenant, tc.p, tc.at, []byte(tc.public)), fmt.Sprint(tc)
		if old, ok := seen[h]; ok {
			t.Errorf("%s and %s share a leaf", old, name)
		}
		seen[h] = name
	}
}

func TestDecodeGolden(t *testing.T) {
	private, err := format.DecodePrivate(read(t, "full.private.json"))
	if want := fullPrivate(); err != nil || !reflect.DeepEqual(private, want) {
		t.Errorf("private: %+v, %v\nwant %+v", private, err, want)
	}
	public, err := format.DecodePublic(read(t, "full.public.json"))
	if want := fullPublic(read(t, "full.private.json")); err != nil || !reflect.DeepEqual(public, want) {
		t.Errorf("public: %+v, %v\nwant %+v", public, err, want)
	}
	// Keys of a later minor writer are passed over, and order does not matter to a reader.
	public, err = format.DecodePublic([]byte(`{"v":1,"later":{"x":[1]},"type":"entry.recorded"}`))
	if err != nil || public.Type != eventstore.EntryRecorded {
		t.Errorf("a later writer's part: %+v, %v", public, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, in := range []string{
		``, `null`, `[]`, `"text"`, `{`, `{"v":2}`, `{"v":"1"}`, `{"id":"no"}`, `{"id":7}`, `{"private":"AAAA"}`, `{"private":7}`,
		`{"occurred_at":"yesterday"}`, `{"occurred_at":1}`, `{"entry_id":null}`, `{"v":1,"v":1}`,
		`{"private":"` + strings.Repeat("!", 43) + `"}`, `{"v":1} x`,
	} {
		if p, err := format.DecodePublic([]byte(in)); err == nil {
			t.Errorf("DecodePublic(%q) = %+v", in, p)
		}
	}
	for _, in := range []string{``, `[]`, `{"salt":"short"}`, `{"salt":null}`, `{"salt":{}}`, "{\"message\":\"\xff\"}"} {
		if p, err := format.DecodePrivate([]byte(in)); err == nil {
			t.Errorf("DecodePrivate(%q) = %+v", in, p)
		}
	}
}

// What is decoded must not change when its input's memory is used again.
func TestDecodeCopies(t *testing.T) {
	in := read(t, "full.private.json")
	p, err := format.DecodePrivate(in)
	if err != nil {
		t.Fatal(err)
	}
	clear(in)
	if want := fullPrivate(); !reflect.DeepEqual(p, want) {
		t.Errorf("%+v\nwant %+v", p, want)
	}
}
