package bus_test

import (
	"bytes"
	"testing"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/transport/bus"
)

// An envelope is encoded once for all destinations, and one that holds something else is not taken for it.
func TestMemoKeepsTheLastEnvelopes(t *testing.T) {
	m := projtest.NewMemory()
	m.Append(20)
	read := func(from, to int) projection.Envelope {
		t.Helper()
		r := projection.Range{From: eventstore.Offset(from), To: eventstore.Offset(to)}
		env, err := projection.ReadEnvelope(t.Context(), m, 0, r, to-from)
		if err != nil {
			t.Fatal(err)
		}
		return env
	}
	var memo bus.Memo
	encode := func(env projection.Envelope) []byte {
		t.Helper()
		payload, err := memo.Encode(env)
		if err != nil {
			t.Fatal(err)
		}
		return payload
	}
	first := read(0, 10)
	kept := encode(first)
	if again := encode(first); &again[0] != &kept[0] {
		t.Error("the same envelope was encoded twice")
	}
	epoch, fewer, other := first, first, read(10, 20)
	epoch.Epoch++
	fewer.Events = fewer.Events[:9]
	for name, env := range map[string]projection.Envelope{"epoch": epoch, "fewer": fewer, "other": other} {
		if bytes.Equal(encode(env), kept) {
			t.Errorf("%s: got the payload of another envelope", name)
		}
	}
	bad := first
	bad.To = 5
	if _, err := memo.Encode(bad); err == nil {
		t.Error("events outside of the range are encoded")
	}
}
