package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/entry"
	"auditlog/internal/fault"
	"auditlog/keyring"
)

const rich = `{"action":"document.shared","actor":{"type":"service","id":"svc","name":"Ada","email":"a@example.org","session_id":"s"},
 "on_behalf_of":[{"type":"user","id":"u1","name":"Zoë"}],"resource":{"type":"document","id":"d1","name":"Plan"},
 "related":[{"id":"f1","type":"folder"}],"severity":"warning","outcome":"denied","message":"m","source":{"ip":"10.0.0.1","user_agent":"ua","service":"web","version":"1"},
 "request_id":"r","trace_id":"t","before":{"b":1,"a":[1.50]},"after":{"a":[1.5],"b":2},"metadata":{"z":1e2,"a":{"k":null}},
 "subjects":["p1","p2"],"occurred_at":"2026-11-23T12:34:56.1234567+02:00","idempotency_key":"k-1"}`

// What is answered is what is stored, field by field, and follows the contract.
func TestRecordAnswersWhatIsStored(t *testing.T) {
	w := newWorld(t)
	r := w.record(mustEntry(t, rich))
	if r.Position != 2 || r.Replayed || r.Purged || r.ID != r.Entry.ID || r.RecordedAt != eventstore.MicrosOf(noon) {
		t.Errorf("receipt is %+v", r)
	}
	stored := w.stored(r.ID)
	stored.Offset = 0
	if got, want := r.Entry.AppendJSON(nil), stored.AppendJSON(nil); !bytes.Equal(got, want) {
		t.Errorf("answered %s\nstored   %s", got, want)
	}
	var got map[string]any
	if err := json.Unmarshal(r.Entry.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"severity": "WARNING", "outcome": "denied", "occurred_at": "2026-11-23T10:34:56.123456Z", "recorded_at": "2026-11-23T12:00:00.000000Z",
		"emitter": map[string]any{"sub": "svc-writer", "roles": []any{"writer"}}, "tenant_id": w.tenant.ID.String(), "revision": 1.0,
		"changes": []any{map[string]any{"op": "replace", "path": "/b", "from": 1.0, "to": 2.0}}, "subjects": []any{"p1", "p2"},
		"metadata": map[string]any{"a": map[string]any{"k": nil}, "z": 100.0}, "idempotency_key": "k-1",
	} {
		if !reflect.DeepEqual(got[field], want) {
			t.Errorf("%s is %v, want %v", field, got[field], want)
		}
	}
}

// Stored bytes follow the event format: commitment, canonical parts, nothing private in the public part, salts that differ.
func TestStoredBytes(t *testing.T) {
	w := newWorld(t)
	ids := []eventstore.EventID{w.record(mustEntry(t, smallest)).ID, w.record(mustEntry(t, smallest)).ID}
	var salts [2][16]byte
	for i, id := range ids {
		ev, err := w.store.Get(context.Background(), w.tenant.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		private, err := w.opener.OpenPrivate(context.Background(), ev)
		if err != nil {
			t.Fatal(err)
		}
		public, err := format.Unpack(nil, ev.Public)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := format.DecodePublic(public)
		if err != nil {
			t.Fatal(err)
		}
		priv, err := format.DecodePrivate(private)
		if err != nil {
			t.Fatal(err)
		}
		if pub.Private != format.Commit(private) || pub.ID != id || pub.Type != eventstore.EntryRecorded {
			t.Errorf("public part %s does not commit to %s", public, private)
		}
		if pub.OccurredAt != nil {
			t.Errorf("occurred_at %v is stored though the client sent none", pub.OccurredAt)
		}
		if bytes.Contains(public, []byte("svc-writer")) || !bytes.Equal(public, format.AppendPublic(nil, &pub)) || !bytes.Equal(private, format.AppendPrivate(nil, &priv)) {
			t.Errorf("stored %s and %s", public, private)
		}
		salts[i] = priv.Salt
	}
	if salts[0] == salts[1] || salts[0] == [16]byte{} {
		t.Errorf("salts are %x", salts)
	}
}

func TestReplayGivesTheFirstAnswer(t *testing.T) {
	w := newWorld(t)
	first := w.record(mustEntry(t, rich))
	if _, err := w.Amend(context.Background(), w.writer, first.ID, command.Amendment{Reason: "later"}); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Hour)
	// The same JSON in another order, with other white space, other headers and another sender.
	again := `{"idempotency_key":"k-1",` + rich[1:len(rich)-len(`,"idempotency_key":"k-1"}`)] + "}\n"
	e, broken := command.ParseEntry(parse(t, again), "", command.Defaults{Now: noon, RequestID: "other", TraceID: "other", IdempotencyKey: "k-1"})
	if e == nil {
		t.Fatal(broken)
	}
	who := w.writer
	who.Sub = "another"
	second, err := w.Record(context.Background(), who, e)
	if err != nil {
		t.Fatal(err)
	}
	if !second.Replayed || second.ID != first.ID || second.Position != first.Position || second.RecordedAt != first.RecordedAt {
		t.Errorf("got %+v", second)
	}
	if got, want := second.Entry.AppendJSON(nil), first.Entry.AppendJSON(nil); !bytes.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := len(w.log(w.tenant.ID)); n != 3 {
		t.Errorf("%d events are stored, want 3", n)
	}
}

func TestI5KeyReusedWithAnotherBody(t *testing.T) {
	w := newWorld(t)
	w.record(mustEntry(t, with(`"idempotency_key":"k"`)))
	_, err := w.Record(context.Background(), w.writer, mustEntry(t, with(`"idempotency_key":"k","message":"other"`)))
	if !fault.Is(err, fault.KeyReuse) {
		t.Errorf("got %v", err)
	}
	if n := len(w.log(w.tenant.ID)); n != 2 {
		t.Errorf("%d events are stored, want 2", n)
	}
}

func TestB9KeyOfAnotherTenantIsNew(t *testing.T) {
	w := newWorld(t)
	w.record(mustEntry(t, with(`"idempotency_key":"k"`)))
	who := w.writer
	who.Tenant = w.newTenant("other").ID
	r, err := w.Record(context.Background(), who, mustEntry(t, with(`"idempotency_key":"k","message":"other"`)))
	if err != nil || r.Replayed {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestReplayAfterErasure(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	e := mustEntry(t, rich)
	first := w.record(e)
	if _, err := w.Amend(ctx, w.writer, first.ID, command.Amendment{Reason: "secret"}); err != nil {
		t.Fatal(err)
	}
	by, err := w.Erase(ctx, w.writer, first.ID, "asked for")
	if err != nil {
		t.Fatal(err)
	}
	for _, destroyed := range []bool{false, true} {
		if destroyed {
			w.puncture(first.ID)
		}
		r := w.record(e)
		if !r.Replayed || r.Purged || r.ID != first.ID || r.Entry.Erased == nil || r.Entry.Erased.By != by {
			t.Errorf("destroyed %v: got %+v", destroyed, r)
		}
		if !reflect.DeepEqual(r.Entry.Private, format.Private{}) || len(r.Entry.Amendments) != 0 {
			t.Errorf("destroyed %v: shows %+v", destroyed, r.Entry)
		}
	}
}

func (w *world) puncture(id eventstore.EventID) {
	w.tb.Helper()
	ev, err := w.store.Get(context.Background(), w.tenant.ID, id)
	if err != nil {
		w.tb.Fatal(err)
	}
	if err := w.ring.Puncture(context.Background(), w.tenant.ID, []keyring.Ref{keyring.Ref(ev.Key)}); err != nil {
		w.tb.Fatal(err)
	}
}

func TestReplayAfterPurge(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	e := mustEntry(t, rich)
	first := w.record(e)
	w.clock.advance(100 * 24 * time.Hour)
	if _, err := w.Cleanup(ctx, w.writer, w.clock.now().Add(-95*24*time.Hour), false); err != nil {
		t.Fatal(err)
	}
	if r := w.record(e); !r.Replayed || !r.Purged || r.ID != first.ID || r.Position != first.Position {
		t.Errorf("got %+v", r)
	}
}

func TestAmend(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	r := w.record(mustEntry(t, rich))
	who := command.Caller{Tenant: w.tenant.ID, Sub: "clerk", Roles: []string{"writer"}}
	if _, err := w.Amend(ctx, who, r.ID, command.Amendment{Message: "better", Metadata: []byte(`{"m":1}`), Reason: "typo"}); err != nil {
		t.Fatal(err)
	}
	got, err := w.Amend(ctx, who, r.ID, command.Amendment{Reason: "again"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Amendments) != 2 || got.Newest != 4 || got.Private.Message != "m" {
		t.Fatalf("got %+v", got)
	}
	a := got.Amendments[0]
	if a.By != "clerk" || a.Reason != "typo" || a.Message != "better" || string(a.Metadata) != `{"m":1}` || a.Position != 3 {
		t.Errorf("got %+v", a)
	}
	stored := w.stored(r.ID)
	if !bytes.Equal(got.AppendJSON(nil), stored.AppendJSON(nil)) {
		t.Errorf("answered %s", got.AppendJSON(nil))
	}
}

func TestAmendAndEraseRefuse(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	r := w.record(mustEntry(t, smallest))
	amended, err := w.Amend(ctx, w.writer, r.ID, command.Amendment{Reason: "r"})
	if err != nil {
		t.Fatal(err)
	}
	other := w.writer
	other.Tenant = w.newTenant("other").ID
	for name, c := range map[string]struct {
		who command.Caller
		id  eventstore.EventID
	}{
		"unknown id":               {w.writer, eventstore.NewEventID()},
		"B3 another tenant's":      {other, r.ID},
		"an amendment's id":        {w.writer, amended.Amendments[0].EventID},
		"the id of tenant.created": {w.writer, w.log(w.tenant.ID)[0].ID},
	} {
		if _, err := w.Amend(ctx, c.who, c.id, command.Amendment{Reason: "r"}); !fault.Is(err, fault.NotFound) {
			t.Errorf("amend %s: got %v", name, err)
		}
		if _, err := w.Erase(ctx, c.who, c.id, "r"); !fault.Is(err, fault.NotFound) {
			t.Errorf("erase %s: got %v", name, err)
		}
	}
	if n := len(w.log(w.tenant.ID)); n != 3 {
		t.Errorf("%d events are stored, want 3", n)
	}
}

func TestErase(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	r := w.record(mustEntry(t, rich))
	by, err := w.Erase(ctx, w.writer, r.ID, "asked for")
	if err != nil {
		t.Fatal(err)
	}
	if e := w.stored(r.ID); e.Erased == nil || e.Erased.By != by || !reflect.DeepEqual(e.Private, format.Private{}) {
		t.Errorf("reads as %+v", e)
	}
	if again, err := w.Erase(ctx, w.writer, r.ID, "once more"); err != nil || again != by {
		t.Errorf("second erasure: got %v, %v, want %v", again, err, by)
	}
	if _, err := w.Amend(ctx, w.writer, r.ID, command.Amendment{Reason: "r"}); !fault.Is(err, fault.Erased) {
		t.Errorf("amend after erasure: got %v", err)
	}
	log := w.log(w.tenant.ID)
	last := log[len(log)-1]
	if len(log) != 3 || last.ID != by || last.Type != eventstore.EntryErased || last.Pub.EntryID != r.ID || last.Priv.Reason != "asked for" || last.Priv.Emitter != "svc-writer" {
		t.Errorf("log ends with %+v %+v", last.Pub, last.Priv)
	}
}

func TestErasedAndAmendedAtOnce(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	r := w.record(mustEntry(t, smallest))
	var wg sync.WaitGroup
	ids := make([]eventstore.EventID, 8)
	for i := range ids {
		wg.Go(func() {
			var err error
			if ids[i], err = w.Erase(ctx, w.writer, r.ID, "r"); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := w.Amend(ctx, w.writer, r.ID, command.Amendment{Reason: "r"}); err != nil && !fault.Is(err, fault.Erased) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("erasures answer with %v and %v", ids[0], id)
		}
	}
	log := w.log(w.tenant.ID)
	if last := log[len(log)-1]; last.ID != ids[0] {
		t.Errorf("%s follows the erasure", last.Type)
	}
}

func items(t *testing.T, bodies ...string) []command.BulkItem {
	out := make([]command.BulkItem, len(bodies))
	for i, body := range bodies {
		e, broken := command.ParseEntry(parse(t, body), fmt.Sprintf("/entries/%d", i), command.Defaults{Now: noon})
		out[i].Entry = e
		if len(broken) > 0 {
			out[i].Problem = fault.Of(broken).(*fault.Error)
		}
	}
	return out
}

func TestBulkAtomic(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	bodies := make([]string, 600) // enough for two hands
	for i := range bodies {
		bodies[i] = with(fmt.Sprintf(`"message":"%d","idempotency_key":"k%d"`, i, i))
	}
	all := items(t, bodies...)
	got, err := w.Bulk(ctx, w.writer, all, true)
	if err != nil {
		t.Fatal(err)
	}
	log := w.log(w.tenant.ID)[1:]
	if len(log) != len(bodies) || len(got) != len(bodies) {
		t.Fatalf("%d events, %d results", len(log), len(got))
	}
	salts := map[[16]byte]bool{}
	for i, o := range log {
		r := got[i]
		if salts[o.Priv.Salt] {
			t.Errorf("item %d has the salt of another", i)
		}
		salts[o.Priv.Salt] = true
		if o.Priv.Message != fmt.Sprint(i) || r.ID != o.ID || r.Position != o.Position || r.RecordedAt != o.RecordedAt || r.Replayed || r.Problem != nil {
			t.Fatalf("result %d is %+v, stored %+v", i, r, o.Event)
		}
		if i > 0 && bytes.Compare(log[i-1].ID[:], o.ID[:]) >= 0 {
			t.Errorf("id %d is not above the one before", i)
		}
	}
	again, err := w.Bulk(ctx, w.writer, all, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range again {
		if !r.Replayed || r.ID != got[i].ID || r.Position != got[i].Position {
			t.Fatalf("result %d of the retry is %+v", i, r)
		}
	}
	if n := len(w.log(w.tenant.ID)); n != len(bodies)+1 {
		t.Errorf("%d events after the retry", n)
	}
}

func TestI2BulkAtomicWithABadItem(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	w.record(mustEntry(t, with(`"idempotency_key":"used"`)))
	for name, c := range map[string]struct {
		bodies []string
		want   []string
	}{
		"refused before":  {[]string{smallest, `{}`, smallest}, []string{"invalid /entries/1/action", "invalid /entries/1/actor", "invalid /entries/1/resource"}},
		"key reused":      {[]string{smallest, with(`"idempotency_key":"used","message":"x"`), smallest}, []string{"key-reuse /entries/1/idempotency_key"}},
		"key twice in it": {[]string{with(`"idempotency_key":"new"`), with(`"idempotency_key":"new","message":"x"`)}, []string{"key-reuse /entries/1/idempotency_key"}},
	} {
		results, err := w.Bulk(ctx, w.writer, items(t, c.bodies...), true)
		f, ok := err.(*fault.Error)
		if !ok || results != nil || !reflect.DeepEqual(rules(f.Fields), c.want) {
			t.Errorf("%s: got %v, %v", name, results, err)
		}
	}
	if n := len(w.log(w.tenant.ID)); n != 2 {
		t.Errorf("%d events are stored, want 2", n)
	}
}

func TestI3BulkPartial(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	got, err := w.Bulk(ctx, w.writer, items(t,
		smallest, with(`"x":1`), with(`"idempotency_key":"k"`), with(`"idempotency_key":"k"`), with(`"idempotency_key":"k","message":"other"`), smallest), false)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "unknown-field", "", "", "key-reuse", ""} {
		switch {
		case want == "" && (got[i].Problem != nil || got[i].Position == 0):
			t.Errorf("item %d: %+v", i, got[i])
		case want != "" && (got[i].Problem == nil || got[i].Problem.Kind.String() != want):
			t.Errorf("item %d: %+v, want %s", i, got[i], want)
		}
	}
	if !got[3].Replayed || got[3].ID != got[2].ID || got[5].Position != 4 {
		t.Errorf("got %+v", got)
	}
	all := items(t, `{}`, `{}`)
	if got, err = w.Bulk(ctx, w.writer, all, false); err != nil || got[0].Problem == nil || got[1].Problem == nil {
		t.Errorf("nothing good: %+v, %v", got, err)
	}
	if n := len(w.log(w.tenant.ID)); n != 4 {
		t.Errorf("%d events are stored, want 4", n)
	}
}

func TestI1BulkCounts(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{0, 1001} {
		if _, err := w.Bulk(context.Background(), w.writer, make([]command.BulkItem, n), false); !fault.Is(err, fault.Invalid) {
			t.Errorf("%d entries: got %v", n, err)
		}
	}
}

func TestH7CleanupRefuses(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	for name, c := range map[string]struct {
		before time.Time
		want   fault.Kind
	}{
		"in the future":          {noon.Add(time.Second), fault.Invalid},
		"younger than the floor": {noon.Add(-90*24*time.Hour + time.Second), fault.RetentionFloor},
	} {
		for _, dry := range []bool{true, false} {
			if _, err := w.Cleanup(ctx, w.writer, c.before, dry); !fault.Is(err, c.want) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	if n := len(w.log(w.tenant.ID)); n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
}

func TestCleanup(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	for range 5 {
		w.record(mustEntry(t, smallest))
	}
	w.clock.advance(100 * 24 * time.Hour)
	w.record(mustEntry(t, smallest))
	before := w.clock.now().Add(-91 * 24 * time.Hour)
	admin := command.Caller{Tenant: w.tenant.ID, Sub: `the "admin"`, Roles: []string{"tenant_admin"}}

	dry, err := w.Cleanup(ctx, admin, before, true)
	if err != nil || dry.Matching != 6 || !dry.ID.IsZero() || len(w.log(w.tenant.ID)) != 7 {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	got, err := w.Cleanup(ctx, admin, before, false)
	if err != nil || !got.Started || got.ID.IsZero() || got.Status != eventstore.PurgeRunning {
		t.Fatalf("got %+v, %v", got, err)
	}
	log := w.log(w.tenant.ID)
	if len(log) != 2 || log[0].Position != 7 || log[1].ID != got.ID {
		t.Fatalf("log is %+v", log)
	}
	var said struct {
		Before      string `json:"before"`
		First       int    `json:"first"`
		Last        int    `json:"last"`
		RequestedBy string `json:"requested_by"`
	}
	if err := json.Unmarshal(log[1].Priv.Metadata, &said); err != nil {
		t.Fatal(err)
	}
	if said.First != 1 || said.Last != 6 || said.RequestedBy != admin.Sub || said.Before != eventstore.MicrosOf(before).String() {
		t.Errorf("the event says %+v", said)
	}

	// H8: the same again while it runs is the same job; another is refused.
	if again, err := w.Cleanup(ctx, admin, before, false); err != nil || again.ID != got.ID || again.Started {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := w.Cleanup(ctx, admin, before.Add(-time.Hour), false); !fault.Is(err, fault.Conflict) {
		t.Errorf("another: %v", err)
	}

	job, err := w.CleanupJob(ctx, w.tenant.ID, got.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := command.Certificate{
		Tenant: w.tenant.ID, First: 1, Last: 6, Before: eventstore.MicrosOf(before), RequestedBy: admin.Sub, EventID: got.ID, Position: 8,
	}
	if job.Certificate != want || job.Matching != 6 || job.Status != eventstore.PurgeRunning || job.RequestedAt != eventstore.MicrosOf(w.clock.now()) {
		t.Errorf("job is %+v", job)
	}
	if _, err := w.CleanupJob(ctx, w.newTenant("other").ID, got.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another tenant's job: %v", err)
	}
}

func TestCreateTenant(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	log := w.log(w.tenant.ID)
	if len(log) != 1 || log[0].Position != 1 || log[0].Type != eventstore.TenantCreated {
		t.Fatalf("log is %+v", log)
	}
	e := entry.Fold(log[0], nil)
	if e.Private.Actor.ID != "root" || e.Private.Resource.ID != w.tenant.ID.String() || e.Public.Action != "tenant.created" ||
		string(e.Private.Metadata) != `{"name":"Name of demo","retention_days":396,"slug":"demo"}` {
		t.Errorf("event is %s", e.AppendJSON(nil))
	}
	if w.tenant.Status != command.StatusActive || w.tenant.CreatedAt != eventstore.MicrosOf(noon) {
		t.Errorf("tenant is %+v", w.tenant)
	}
	keys := w.keyFolders()
	if _, err := w.CreateTenant(ctx, command.Caller{Sub: "root"}, command.NewTenant{Slug: "demo", Name: "n", RetentionDays: 90}); !fault.Is(err, fault.Conflict) {
		t.Errorf("B7 known slug: got %v", err)
	}
	if got := w.keyFolders(); got != keys {
		t.Errorf("a refused tenant left %d key folders", got-keys)
	}
}

func TestTenantMustExist(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	for want, id := range map[fault.Kind]eventstore.TenantID{fault.TenantRequired: {}, fault.NotFound: eventstore.TenantID(eventstore.NewEventID())} {
		who := command.Caller{Tenant: id, Sub: "s"}
		if _, err := w.Record(ctx, who, mustEntry(t, smallest)); !fault.Is(err, want) {
			t.Errorf("record: got %v, want %v", err, want)
		}
		if _, err := w.Bulk(ctx, who, items(t, smallest), true); !fault.Is(err, want) {
			t.Errorf("bulk: got %v, want %v", err, want)
		}
		if _, err := w.Erase(ctx, who, eventstore.NewEventID(), "r"); !fault.Is(err, want) {
			t.Errorf("erase: got %v, want %v", err, want)
		}
		if _, err := w.Cleanup(ctx, who, noon.AddDate(-1, 0, 0), true); !fault.Is(err, want) {
			t.Errorf("cleanup: got %v, want %v", err, want)
		}
	}
}

// 64 callers with and without keys, each key used by several: positions dense, one event per key, all callers agree.
func TestRecordConcurrently(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	const callers, each = 64, 8
	receipts := make([][each]command.Receipt, callers)
	entries := make([][each]*command.Entry, callers)
	for i := range entries {
		for j := range each {
			body := with(fmt.Sprintf(`"message":"%d-%d"`, i, j))
			if j%2 == 0 {
				body = with(fmt.Sprintf(`"idempotency_key":"k%d-%d"`, i%16, j))
			}
			entries[i][j] = mustEntry(t, body)
		}
	}
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				r, err := w.Record(ctx, w.writer, entries[i][j])
				if err != nil {
					t.Error(err)
					return
				}
				if j > 0 && j%2 == 1 && r.Position <= receipts[i][j-1].Position && !receipts[i][j-1].Replayed {
					t.Errorf("position %d was given after %d", r.Position, receipts[i][j-1].Position)
				}
				receipts[i][j] = r
			}
		})
	}
	wg.Wait()
	log := w.log(w.tenant.ID)
	if want := 1 + callers*each/2 + 16*each/2; len(log) != want {
		t.Errorf("%d events, want %d", len(log), want)
	}
	for i, o := range log {
		if o.Position != eventstore.Position(i+1) {
			t.Fatalf("event %d is at position %d", i, o.Position)
		}
	}
	for i := range receipts {
		for j := 0; j < each; j += 2 {
			if receipts[i][j].ID != receipts[i%16][j].ID {
				t.Errorf("key k%d-%d has two ids", i%16, j)
			}
		}
	}
}
