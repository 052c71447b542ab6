package command_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"auditlog/command"
	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const smallest = `{"action":"READ","actor":{"id":"u"},"resource":{"type":"file"}}`

// with is the smallest entry with more members.
func with(members string) string { return smallest[:len(smallest)-1] + "," + members + "}" }

func parse(tb testing.TB, body string) canon.Node {
	tb.Helper()
	doc, err := canon.Parse([]byte(body), command.EntryLimits)
	if err != nil {
		tb.Fatalf("parse %.200s: %v", body, err)
	}
	tb.Cleanup(doc.Release)
	return doc.Root()
}

func mustEntry(tb testing.TB, body string) *command.Entry {
	tb.Helper()
	e, broken := command.ParseEntry(parse(tb, body), "", command.Defaults{Now: noon})
	if len(broken) > 0 {
		tb.Fatalf("%.200s: %+v", body, broken)
	}
	return e
}

// rules shows broken rules as "code pointer".
func rules(fields []fault.Field) []string {
	out := make([]string, 0, len(fields))
	for _, f := range fields {
		out = append(out, f.Kind.String()+" "+f.Pointer)
	}
	return out
}

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth-1) + "{}" + strings.Repeat("}", depth-1)
}

func numbered(n int, format string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(parts, ",")
}

func long(n int) string { return strings.Repeat("x", n) }

// TestParseEntryRefuses carries the row numbers of the table of bad inputs (quality.md §4).
func TestParseEntryRefuses(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"C1 list", `[]`, "invalid "},
		{"C1 null", `null`, "invalid "},
		{"C4 unknown", with(`"actions":1`), "unknown-field /actions"},
		{"C4 seq", with(`"seq":1`), "unknown-field /seq"},
		{"C4 hash", with(`"hash":"x"`), "unknown-field /hash"},
		{"C4 role", with(`"role":"admin"`), "unknown-field /role"},
		{"C4 type", with(`"type":"entry.erased"`), "unknown-field /type"},
		{"C4 id", with(`"id":"x"`), "read-only-field /id"},
		{"C4 tenant_id", with(`"tenant_id":null`), "read-only-field /tenant_id"},
		{"C4 position", with(`"position":1`), "read-only-field /position"},
		{"C4 recorded_at", with(`"recorded_at":1`), "read-only-field /recorded_at"},
		{"C4 emitter", with(`"emitter":{}`), "read-only-field /emitter"},
		{"C4 changes", with(`"changes":[]`), "read-only-field /changes"},
		{"C4 revision", with(`"revision":1`), "read-only-field /revision"},
		{"C4 amendments", with(`"amendments":[]`), "read-only-field /amendments"},
		{"C4 erased", with(`"erased":{}`), "read-only-field /erased"},
		{"C4 unknown, escaped", with(`"a/b~":1`), "unknown-field /a~1b~0"},
		{"C4 unknown, long", with(`"` + long(200) + `":1`), "unknown-field "},
		{"C4 unknown in actor", `{"action":"READ","actor":{"id":"u","admin":true},"resource":{"type":"file"}}`, "unknown-field /actor/admin"},
		{"C4 unknown in resource", `{"action":"READ","actor":{"id":"u"},"resource":{"type":"file","x":1}}`, "unknown-field /resource/x"},
		{"C4 unknown in source", with(`"source":{"port":1}`), "unknown-field /source/port"},
		{"C4 unknown in related", with(`"related":[{"type":"a","id":"b","email":"c"}]`), "unknown-field /related/0/email"},
		{"B5 other case", with(`"TENANT_ID":"x"`), "unknown-field /TENANT_ID"},
		{"C5 metadata too deep", with(`"metadata":` + nested(17)), "too-deep /metadata"},
		{"C5 before too deep", with(`"before":` + nested(17)), "too-deep /before"},
		{"C6 action", `{"action":1,"actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"C6 metadata", with(`"metadata":[]`), "invalid /metadata"},
		{"C6 severity", with(`"severity":{}`), "invalid /severity"},
		{"C6 actor", `{"action":"READ","actor":"u","resource":{"type":"file"}}`, "invalid /actor"},
		{"C6 resource", `{"action":"READ","actor":{"id":"u"},"resource":[]}`, "invalid /resource"},
		{"C6 message", with(`"message":1`), "invalid /message"},
		{"C6 subjects", with(`"subjects":"u"`), "invalid /subjects"},
		{"C6 subject", with(`"subjects":["a",1]`), "invalid /subjects/1"},
		{"C6 related", with(`"related":[1]`), "invalid /related/0"},
		{"C6 occurred_at", with(`"occurred_at":1700000000`), "invalid /occurred_at"},
		{"E2 action line feed", `{"action":"a\nb","actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"E2 action C1", `{"action":"a\u0085","actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"E2 action bidi", `{"action":"a\u202e","actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"E2 action zero-width", `{"action":"a\u200b","actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"E2 action trailing space", `{"action":"a ","actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"E2 actor id", `{"action":"READ","actor":{"id":"a\u001b"},"resource":{"type":"file"}}`, "invalid /actor/id"},
		{"E2 actor id C1", `{"action":"READ","actor":{"id":"a\u0090"},"resource":{"type":"file"}}`, "invalid /actor/id"},
		{"E2 resource id", `{"action":"READ","actor":{"id":"a"},"resource":{"type":"file","id":"\u007f"}}`, "invalid /resource/id"},
		{"E2 request id", with(`"request_id":"a\tb"`), "invalid /request_id"},
		{"F1 no such day", with(`"occurred_at":"2024-02-30T00:00:00Z"`), "invalid /occurred_at"},
		{"F3 ahead", with(`"occurred_at":"2026-11-23T12:05:00.000001Z"`), "outside-window /occurred_at"},
		{"F3 before 1970", with(`"occurred_at":"1969-12-31T23:59:59.999999Z"`), "outside-window /occurred_at"},
		{"I1 large", with(`"before":{` + numbered(9, `"%d":"`+long(8000)+`"`) + `}`), "too-large "},
		{"I5 long key", with(`"idempotency_key":"` + long(256) + `"`), "invalid /idempotency_key"},
		{"I5 control in key", with(`"idempotency_key":"a\u0001"`), "invalid /idempotency_key"},
		{"I5 empty key", with(`"idempotency_key":""`), "invalid /idempotency_key"},
		{"no action", `{"actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"null action", `{"action":null,"actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"empty action", `{"action":"","actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"long action", `{"action":"` + long(129) + `","actor":{"id":"u"},"resource":{"type":"file"}}`, "invalid /action"},
		{"no actor", `{"action":"READ","resource":{"type":"file"}}`, "invalid /actor"},
		{"null actor", `{"action":"READ","actor":null,"resource":{"type":"file"}}`, "invalid /actor"},
		{"no actor id", `{"action":"READ","actor":{"type":"user"},"resource":{"type":"file"}}`, "invalid /actor/id"},
		{"null actor id", `{"action":"READ","actor":{"id":null},"resource":{"type":"file"}}`, "invalid /actor/id"},
		{"long actor id", `{"action":"READ","actor":{"id":"` + long(513) + `"},"resource":{"type":"file"}}`, "invalid /actor/id"},
		{"actor type", `{"action":"READ","actor":{"id":"u","type":"User"},"resource":{"type":"file"}}`, "invalid /actor/type"},
		{"no resource", `{"action":"READ","actor":{"id":"u"}}`, "invalid /resource"},
		{"null resource", `{"action":"READ","actor":{"id":"u"},"resource":null}`, "invalid /resource"},
		{"no resource type", `{"action":"READ","actor":{"id":"u"},"resource":{}}`, "invalid /resource/type"},
		{"long resource type", `{"action":"READ","actor":{"id":"u"},"resource":{"type":"` + long(129) + `"}}`, "invalid /resource/type"},
		{"severity", with(`"severity":"DEBUG"`), "invalid /severity"},
		{"outcome case", with(`"outcome":"SUCCESS"`), "invalid /outcome"},
		{"long message", with(`"message":"` + long(8193) + `"`), "invalid /message"},
		{"ip name", with(`"source":{"ip":"ec2.amazonaws.com"}`), "invalid /source/ip"},
		{"ip zone", with(`"source":{"ip":"fe80::1%eth0"}`), "invalid /source/ip"},
		{"long trace id", with(`"trace_id":"` + long(129) + `"`), "invalid /trace_id"},
		{"17 related", with(`"related":[` + numbered(17, `{"type":"a","id":"%d"}`) + `]`), "invalid /related"},
		{"17 on_behalf_of", with(`"on_behalf_of":[` + numbered(17, `{"type":"a","id":"%d"}`) + `]`), "invalid /on_behalf_of"},
		{"65 subjects", with(`"subjects":[` + numbered(65, `"%d"`) + `]`), "invalid /subjects"},
		{"related without id", with(`"related":[{"type":"a"}]`), "invalid /related/0/id"},
		{"on_behalf_of without type", with(`"on_behalf_of":[{"id":"a"}]`), "invalid /on_behalf_of/0/type"},
		{"513 leaves", with(`"metadata":{"a":[` + numbered(513, "%d") + `]}`), "invalid /metadata"},
		{"65 keys", with(`"metadata":{"a":{` + numbered(65, `"k%d":1`) + `}}`), "invalid /metadata/a"},
		{"long metadata key", with(`"after":{"` + long(129) + `":1}`), "invalid /after"},
		{"long metadata value", with(`"metadata":{"a/b":[1,"` + long(8193) + `"]}`), "invalid /metadata/a~1b/1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, broken := command.ParseEntry(parse(t, c.body), "", command.Defaults{Now: noon})
			if got := rules(broken); e != nil || len(got) != 1 || got[0] != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			for _, f := range broken {
				if f.Detail == "" || strings.Contains(f.Detail, "xxx") {
					t.Errorf("detail is %q", f.Detail)
				}
			}
		})
	}
}

func TestParseEntryAccepts(t *testing.T) {
	for name, body := range map[string]string{
		"smallest":                         smallest,
		"null for optional fields":         with(`"severity":null,"outcome":null,"message":null,"source":null,"related":null,"on_behalf_of":null,"subjects":null,"metadata":null,"before":null,"after":null,"occurred_at":null,"request_id":null,"trace_id":null,"idempotency_key":null`),
		"empty optional texts":             with(`"message":"","request_id":"","source":{"ip":"","service":""}`),
		"E2 anything in message":           with(`"message":"a\r\n\u001b[31m\u202e\u200b\u0085","metadata":{"k":"\t\u0001\u202e"}`),
		"E5 forged line":                   with(`"message":"\r\n2026-01-01 FAKE ok"`),
		"F3 at the window's end":           with(`"occurred_at":"2026-11-23T12:05:00Z"`),
		"F3 at the window's start":         with(`"occurred_at":"1970-01-01T00:00:00Z"`),
		"ipv6":                             with(`"source":{"ip":"2001:DB8::1"}`),
		"C5 metadata 16 deep":              with(`"metadata":` + nested(16)),
		"512 leaves":                       with(`"metadata":{"a":[` + numbered(512, "%d") + `]}`),
		"64 keys":                          with(`"metadata":{` + numbered(64, `"k%d":1`) + `}`),
		"longest texts":                    with(`"message":"` + long(8192) + `","idempotency_key":"` + long(255) + `","request_id":"` + long(128) + `"`),
		"16 related":                       with(`"related":[` + numbered(16, `{"type":"a","id":"%d"}`) + `]`),
		"names beyond ASCII":               `{"action":"a.B_c:d/e-9","actor":{"id":"Zoë ✓","name":"日本"},"resource":{"type":"Straße"}}`,
		"I1 exactly as large as it may be": exactly(64 << 10),
	} {
		t.Run(name, func(t *testing.T) {
			if _, broken := command.ParseEntry(parse(t, body), "", command.Defaults{Now: noon}); len(broken) > 0 {
				t.Errorf("refused: %+v", broken)
			}
		})
	}
	if _, broken := command.ParseEntry(parse(t, exactly(64<<10+1)), "", command.Defaults{Now: noon}); !slices.Equal(rules(broken), []string{"too-large "}) {
		t.Errorf("one byte more: %v", rules(broken))
	}
}

// exactly is an entry of n bytes in canonical form.
func exactly(n int) string {
	body := with(`"metadata":{` + numbered(8, `"k%d":"`+long(8000)+`"`) + `,"z":"#"}`)
	return strings.Replace(body, "#", long(n-len(body)+1), 1)
}

// White space and long forms are not the client's canonical bytes.
func TestSizeCountsCanonicalBytes(t *testing.T) {
	if e, broken := command.ParseEntry(parse(t, exactly(64 << 10)[:1]+strings.Repeat(" ", 1000)+exactly(64 << 10)[1:]), "", command.Defaults{Now: noon}); e == nil {
		t.Errorf("refused: %+v", broken)
	}
}

func TestParseEntryCollectsAllRules(t *testing.T) {
	body := `{"id":"x","action":"a b","actor":{"type":"bot"},"severity":"LOUD","occurred_at":"today","nope":1}`
	e, broken := command.ParseEntry(parse(t, body), "/entries/3", command.Defaults{Now: noon})
	got := rules(broken)
	slices.Sort(got)
	want := []string{
		"invalid /entries/3/action", "invalid /entries/3/actor/id", "invalid /entries/3/actor/type", "invalid /entries/3/occurred_at",
		"invalid /entries/3/resource", "invalid /entries/3/severity", "read-only-field /entries/3/id", "unknown-field /entries/3/nope",
	}
	if e != nil || !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	_, broken = command.ParseEntry(parse(t, "{"+numbered(500, `"x%d":1`)+"}"), "", command.Defaults{Now: noon})
	if len(broken) != 64 {
		t.Errorf("%d rules are reported, want 64", len(broken))
	}
}

func TestDefaultsFromHeaders(t *testing.T) {
	d := command.Defaults{Now: noon, IdempotencyKey: "k"}
	if e, _ := command.ParseEntry(parse(t, smallest), "", d); e == nil || e.IdempotencyKey() != "k" {
		t.Errorf("the header's key is not taken: %+v", e)
	}
	if e, _ := command.ParseEntry(parse(t, with(`"idempotency_key":"k"`)), "", d); e == nil || e.IdempotencyKey() != "k" {
		t.Errorf("the same key twice is refused")
	}
	_, broken := command.ParseEntry(parse(t, with(`"idempotency_key":"other"`)), "", d)
	if got := rules(broken); !slices.Equal(got, []string{"invalid /idempotency_key"}) {
		t.Errorf("got %q", got)
	}
}

// An entry outlives the document and the bytes that it was read from.
func TestEntryOutlivesDocument(t *testing.T) {
	w := newWorld(t)
	body := []byte(with(`"message":"kept","metadata":{"a":"kept"},"idempotency_key":"kept"`))
	doc, err := canon.Parse(body, command.EntryLimits)
	if err != nil {
		t.Fatal(err)
	}
	e, broken := command.ParseEntry(doc.Root(), "", command.Defaults{Now: noon})
	if e == nil {
		t.Fatal(broken)
	}
	doc.Release()
	for i := range body {
		body[i] = '!'
	}
	r := w.record(e)
	if got := r.Entry.AppendJSON(nil); bytes.Contains(got, []byte("!")) || bytes.Count(got, []byte(`"kept"`)) != 3 {
		t.Errorf("got %s", got)
	}
}

func TestParseAmendment(t *testing.T) {
	a, broken := command.ParseAmendment(parse(t, `{"message":"m","metadata":{"b":1,"a":2.0},"reason":"r"}`))
	if len(broken) > 0 || a.Message != "m" || a.Reason != "r" || string(a.Metadata) != `{"a":2,"b":1}` {
		t.Errorf("got %+v %+v", a, broken)
	}
	for body, want := range map[string]string{
		`{}`:                          "invalid /reason",
		`[]`:                          "invalid ",
		`{"reason":null}`:             "invalid /reason",
		`{"reason":""}`:               "invalid /reason",
		`{"reason":1}`:                "invalid /reason",
		`{"reason":"r","action":"x"}`: "unknown-field /action",
		`{"reason":"r","message":[]}`: "invalid /message",
		`{"reason":"r","metadata":1}`: "invalid /metadata",
		`{"reason":"r","metadata":` + nested(17) + `}`:                             "too-deep /metadata",
		`{"reason":"` + long(8193) + `"}`:                                          "invalid /reason",
		`{"reason":"r","metadata":{` + numbered(9, `"%d":"`+long(8000)+`"`) + `}}`: "too-large ",
	} {
		if _, broken := command.ParseAmendment(parse(t, body)); !slices.Equal(rules(broken), []string{want}) {
			t.Errorf("%.60s: got %q, want %q", body, rules(broken), want)
		}
	}
}

func TestParseErasure(t *testing.T) {
	if reason, broken := command.ParseErasure(parse(t, `{"reason":"r"}`)); reason != "r" || len(broken) > 0 {
		t.Errorf("got %q %+v", reason, broken)
	}
	for body, want := range map[string]string{
		`{}`: "invalid /reason", `"r"`: "invalid ", `{"reason":false}`: "invalid /reason", `{"reason":"r","message":"m"}`: "unknown-field /message",
	} {
		if _, broken := command.ParseErasure(parse(t, body)); !slices.Equal(rules(broken), []string{want}) {
			t.Errorf("%s: got %q, want %q", body, rules(broken), want)
		}
	}
}

func TestParseTenant(t *testing.T) {
	got, broken := command.ParseTenant(parse(t, `{"slug":"a-1","name":"Acme"}`))
	if want := (command.NewTenant{Slug: "a-1", Name: "Acme", RetentionDays: 396}); got != want || len(broken) > 0 {
		t.Errorf("got %+v %+v", got, broken)
	}
	if got, _ := command.ParseTenant(parse(t, `{"slug":"`+long(63)+`","name":"Zoë","retention_days":90}`)); got.RetentionDays != 90 || got.Name != "Zoë" {
		t.Errorf("got %+v", got)
	}
	for body, want := range map[string]string{
		`{"name":"n"}`:                                    "invalid /slug",
		`{"slug":"ab"}`:                                   "invalid /name",
		`{"slug":"a","name":"n"}`:                         "invalid /slug",
		`{"slug":"1a","name":"n"}`:                        "invalid /slug",
		`{"slug":"A1","name":"n"}`:                        "invalid /slug",
		`{"slug":"aс","name":"n"}`:                        "invalid /slug", // B7: Cyrillic
		`{"slug":"` + long(64) + `","name":"n"}`:          "invalid /slug",
		`{"slug":"ab","name":""}`:                         "invalid /name",
		`{"slug":"ab","name":" n"}`:                       "invalid /name",
		`{"slug":"ab","name":"a\u202eb"}`:                 "invalid /name", // B7: looks like another
		`{"slug":"ab","name":"a\nb"}`:                     "invalid /name",
		`{"slug":"ab","name":"` + long(129) + `"}`:        "invalid /name",
		`{"slug":"ab","name":"n","retention_days":89}`:    "invalid /retention_days",
		`{"slug":"ab","name":"n","retention_days":36501}`: "invalid /retention_days",
		`{"slug":"ab","name":"n","retention_days":90.5}`:  "invalid /retention_days",
		`{"slug":"ab","name":"n","retention_days":"90"}`:  "invalid /retention_days",
		`{"slug":"ab","name":"n","id":"x"}`:               "unknown-field /id",
	} {
		if _, broken := command.ParseTenant(parse(t, body)); !slices.Equal(rules(broken), []string{want}) {
			t.Errorf("%s: got %q, want %q", body, rules(broken), want)
		}
	}
}

// Two spellings of one key are one key twice in an entry, and two keys inside free objects.
func TestB5KeysThatDifferByCase(t *testing.T) {
	bulk := func(body string) string { return `{"entries":[` + body + `]}` }
	twice := with(`"Action":"x"`)
	if _, err := canon.Parse([]byte(twice), command.EntryLimits); !fault.Is(err, fault.DuplicateKey) {
		t.Errorf("entry: got %v", err)
	}
	if _, err := canon.Parse([]byte(bulk(twice)), command.BulkLimits); !fault.Is(err, fault.DuplicateKey) {
		t.Errorf("in a bulk: got %v", err)
	}
	_, broken := command.ParseEntry(parse(t, `{"action":"READ","actor":{"id":"u","ID":"v"},"resource":{"type":"file"}}`), "", command.Defaults{Now: noon})
	if got := rules(broken); !slices.Equal(got, []string{"unknown-field /actor/ID"}) {
		t.Errorf("in actor: got %q", got)
	}
	free := with(`"metadata":{"Tag":1,"tag":2},"before":{"Tag":1,"tag":2},"after":{"a":{"Tag":1,"tag":2}}`)
	parsed, err := canon.Parse([]byte(bulk(free)), command.BulkLimits)
	if err != nil {
		t.Fatalf("free objects in a bulk: %v", err)
	}
	parsed.Release()
	w := newWorld(t)
	r := w.record(mustEntry(t, free))
	stored := w.stored(r.ID)
	stored.Offset = 0
	if got := stored.AppendJSON(nil); !bytes.Equal(got, r.Entry.AppendJSON(nil)) || !bytes.Contains(got, []byte(`"changes":[{"op":"remove","path":"/Tag"`)) {
		t.Errorf("stored %s", got)
	}
}
