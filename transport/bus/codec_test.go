package bus_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/projection"
	"auditlog/transport/bus"
)

// event makes an event with a public part of about 290 bytes and a private part that does not shrink.
func event(o eventstore.Offset, tenant byte, public string, private int) eventstore.Event {
	sealed := make([]byte, private)
	_, _ = rand.Read(sealed) // never fails
	id := eventstore.NewEventID()
	plain := fmt.Sprintf(`{"action":"document.shared","actor_type":"user","id":%q,"outcome":"success","private":%q,"resource_type":"document","severity":"INFO","type":"entry.recorded","v":1,"x":%q}`,
		id, base64.RawURLEncoding.EncodeToString(sealed[:min(32, private)]), public)
	return eventstore.Event{
		Tenant: eventstore.TenantID{15: tenant}, Position: eventstore.Position(o) + 3, Offset: o, RecordedAt: eventstore.Micros(1_700_000_000_000_000 + o),
		ID: id, Type: eventstore.EntryRecorded, Public: format.PackPublic(nil, []byte(plain)), Private: sealed,
		Key: eventstore.KeyRef{Epoch: 1, Index: uint32(o)},
	}
}

// same compares events; public parts by their plain form.
func same(t interface{ Fatalf(string, ...any) }, got, want eventstore.Event) {
	a, err := format.Unpack(nil, got.Public)
	if err != nil {
		t.Fatalf("public part: %v", err)
	}
	b, err := format.Unpack(nil, want.Public)
	if err != nil {
		t.Fatalf("public part: %v", err)
	}
	got.Public, want.Public = a, b
	if len(got.Private) == 0 && len(want.Private) == 0 {
		got.Private, want.Private = nil, nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

// roundTrip checks that the payload gives the envelope back, or points to it.
func roundTrip(t interface{ Fatalf(string, ...any) }, env projection.Envelope) (pointer bool) {
	payload, err := bus.Encode(env)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	if len(payload) > bus.MaxPayload {
		t.Fatalf("payload of %d bytes", len(payload))
	}
	got, err := bus.Decode(payload)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if got.From != env.From || got.To != env.To || got.Shard != env.Shard || got.Epoch != env.Epoch {
		t.Fatalf("payload is of shard %d, (%d, %d], epoch %d; want shard %d, (%d, %d], epoch %d", got.Shard, got.From, got.To, got.Epoch, env.Shard, env.From, env.To, env.Epoch)
	}
	if got.Pointer {
		return true
	}
	if len(got.Events) != len(env.Events) {
		t.Fatalf("%d events, want %d", len(got.Events), len(env.Events))
	}
	for i, e := range got.Events {
		same(t, e, env.Events[i])
	}
	return false
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		env := projection.Envelope{
			Shard: eventstore.Shard(rapid.Uint16().Draw(t, "shard")), Epoch: rapid.Uint64().Draw(t, "epoch"),
			From: eventstore.Offset(rapid.Int64Range(0, 1<<40).Draw(t, "from")),
		}
		env.To = env.From
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			env.To += eventstore.Offset(rapid.IntRange(1, 3).Draw(t, "gap"))
			e := event(env.To, byte(rapid.IntRange(1, 3).Draw(t, "tenant")), rapid.StringN(0, 200, 800).Draw(t, "public"),
				rapid.SampledFrom([]int{0, 40, 200, 3000, 50_000}).Draw(t, "private"))
			e.Shard, e.Type = env.Shard, rapid.SampledFrom([]eventstore.Type{eventstore.EntryRecorded, eventstore.EntryErased}).Draw(t, "type")
			if e.Type == eventstore.EntryErased {
				e.EntryID = eventstore.NewEventID()
			}
			env.Events = append(env.Events, e)
		}
		env.To += eventstore.Offset(rapid.IntRange(0, 3).Draw(t, "removed at the end"))
		roundTrip(t, env)
		env.Pointer, env.Events = true, nil
		if !roundTrip(t, env) {
			t.Fatalf("a pointer came as events")
		}
	})
}

// About 200 entries of 600 bytes fit into one message; to more of them, or larger ones, it points.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		events, private int
		pointer         bool
	}{
		{0, 0, false},
		{1, 160, false},
		{170, 160, false},
		{200, 160, true}, // found out by packing them
		{512, 160, true},
		{1, 40_000, false},
		{1, 64 << 10, true},
		{3, 64 << 10, true},
	} {
		var env projection.Envelope
		for i := range c.events {
			env.Events = append(env.Events, event(eventstore.Offset(i+1), 1, "", c.private))
		}
		env.To = eventstore.Offset(c.events)
		if pointer := roundTrip(t, env); pointer != c.pointer {
			t.Errorf("%d events with %d sealed bytes: pointer %t, want %t", c.events, c.private, pointer, c.pointer)
		}
	}
}

// No plaintext of a private part can be in a payload, since Encode never sees one; and text that compresses stays small.
func TestCompressible(t *testing.T) {
	env := projection.Envelope{To: 1, Events: []eventstore.Event{event(1, 1, strings.Repeat("long ", 10_000), 100)}}
	if roundTrip(t, env) {
		t.Error("50 kB that shrink to little are left behind")
	}
}

func TestEncodeRefusesDisorder(t *testing.T) {
	one, two := event(1, 1, "", 10), event(2, 1, "", 10)
	for name, env := range map[string]projection.Envelope{
		"descending":   {To: 2, Events: []eventstore.Event{two, one}},
		"repeated":     {To: 2, Events: []eventstore.Event{one, one}},
		"beyond":       {To: 1, Events: []eventstore.Event{one, two}},
		"before":       {From: 1, To: 2, Events: []eventstore.Event{one}},
		"other shard":  {Shard: 1, To: 1, Events: []eventstore.Event{one}},
		"damaged part": {To: 1, Events: []eventstore.Event{{Offset: 1, Public: []byte{9}}}},
	} {
		if _, err := bus.Encode(env); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

// Any change of a payload is found out, and is poison.
func TestDecodeRefusesDamage(t *testing.T) {
	env := projection.Envelope{To: 5, Events: []eventstore.Event{event(2, 1, "", 30), event(4, 2, "", 30)}}
	good, err := bus.Encode(env)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, p []byte) {
		t.Helper()
		_, err := bus.Decode(p)
		var poison *projection.Poison
		if !errors.As(err, &poison) {
			t.Errorf("%s: %v, want poison", name, err)
		}
	}
	for i := range good {
		for _, flip := range []byte{1, 2, 32} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			refused(fmt.Sprintf("byte %d xor %d", i, flip), bad)
		}
		refused(fmt.Sprintf("cut at %d", i), good[:i])
	}
	refused("longer", append(bytes.Clone(good), "AAAA"...))
	refused("too long", bytes.Repeat([]byte("A"), bus.MaxPayload+4))
	refused("newline", append(bytes.Clone(good), '\n'))
}

func FuzzDecode(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		env := projection.Envelope{To: eventstore.Offset(n)}
		for i := range n {
			env.Events = append(env.Events, event(eventstore.Offset(i+1), byte(i), "", 60000*(i%2)))
		}
		payload, err := bus.Encode(env)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		env, err := bus.Decode(payload)
		if err != nil {
			var poison *projection.Poison
			if !errors.As(err, &poison) {
				t.Fatalf("%v is not poison", err)
			}
			return
		}
		if env.Pointer && env.Events != nil {
			t.Fatal("a pointer with events")
		}
		for _, e := range env.Events {
			if e.Offset <= env.From || e.Offset > env.To {
				t.Fatalf("event %d outside (%d, %d]", e.Offset, env.From, env.To)
			}
		}
	})
}

// FuzzContent damages what lies inside the checksum.
func FuzzContent(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 0, 0, 0}, byte(1))
	f.Add([]byte{0, 0, 2, 1, 1, 15: 7, 16: 1, 17: 1, 18: 'x', 19: 1, 20: 1, 21: 0, 22: 0, 23: 1, 24: 0, 80: 0}, byte(1))
	f.Add([]byte{0, 0, 1, 1, 0, 0, 0}, byte(2))
	f.Fuzz(func(t *testing.T, plain []byte, kind byte) {
		env, err := bus.Decode(bus.Wrap(plain, kind))
		if err != nil {
			return
		}
		at := env.From
		for _, e := range env.Events {
			if e.Offset <= at || e.Offset > env.To || e.Shard != env.Shard {
				t.Fatalf("event %d after %d in (%d, %d]", e.Offset, at, env.From, env.To)
			}
			at = e.Offset
		}
	})
}

func TestMetadataIsSmall(t *testing.T) {
	env := projection.Envelope{To: 2, Events: []eventstore.Event{event(1, 1, "", 10), event(2, 1, "", 10)}}
	for tenant, group := range map[byte]string{1: uuid.UUID{15: 1}.String(), 2: "0"} {
		env.Events[1].Tenant = eventstore.TenantID{15: tenant}
		payload, err := bus.Encode(env)
		if err != nil {
			t.Fatal(err)
		}
		m := bus.Message(env, payload).Metadata
		if len(m) > 5 || m.Get(bus.MetaRange) != "0:0-2" || m.Get(bus.MetaGroup) != group {
			t.Errorf("metadata %v, want group %s", m, group)
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	env := projection.Envelope{To: 150}
	for i := range 150 {
		env.Events = append(env.Events, event(eventstore.Offset(i+1), 1, "", 160))
	}
	b.Run("encode 150", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bus.Encode(env); err != nil {
				b.Fatal(err)
			}
		}
	})
	payload, err := bus.Encode(env)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decode 150", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bus.Decode(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}
