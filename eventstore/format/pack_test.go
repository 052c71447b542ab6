package format_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"pgregory.net/rapid"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
)

// Stored events are unpacked with these bytes for ever. A better dictionary is a new number.
func TestDictionariesNeverChange(t *testing.T) {
	for name, want := range map[string]string{
		"dict/1-public.txt":  "62e302757b3c407eb68c1eb494a979689146558613f067c37837a2a3b9881ee4",
		"dict/2-private.txt": "219d9795650de148edaee909ce7f5fd1f330f806fb13f1590c0035fa6d4f819e",
	} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has changed: %x", name, sum)
		}
	}
}

// The packed files are what this version wrote on its first day; every later binary must read it.
func TestUnpackGolden(t *testing.T) {
	for _, event := range []string{"full", "least"} {
		for _, part := range []string{"public", "private"} {
			name := event + "." + part
			plain, pack := read(t, name+".json"), format.PackPublic
			if part == "private" {
				pack = format.PackPrivate
			}
			if *update {
				if err := os.WriteFile("testdata/"+name+".packed", pack(nil, plain), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := format.Unpack(nil, read(t, name+".packed"))
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
}

func TestPackRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "plain")
		if rapid.Bool().Draw(t, "repetitive") && len(plain) > 0 {
			plain = bytes.Repeat(plain[:1+len(plain)/50], 40)
		}
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "prefix")
		for name, pack := range map[string]func(dst, plain []byte) []byte{"public": format.PackPublic, "private": format.PackPrivate} {
			// With and without room behind dst, and never into what is there.
			dst := append(make([]byte, 0, len(prefix)+rapid.IntRange(0, 4000).Draw(t, "room")), prefix...)
			packed := pack(dst, plain)
			if !bytes.HasPrefix(packed, prefix) {
				t.Fatalf("%s: the prefix was changed", name)
			}
			packed = packed[len(prefix):]
			got, err := format.Unpack(append([]byte(nil), prefix...), packed)
			if err != nil || !bytes.Equal(got, append(prefix[:len(prefix):len(prefix)], plain...)) {
				t.Fatalf("%s: %q, %v", name, got, err)
			}
			bare, err := format.Bare(append([]byte(nil), prefix...), packed)
			if err != nil || len(bare) != len(prefix)+1+len(plain) {
				t.Fatalf("%s: bare %q, %v", name, bare, err)
			}
			if got, err = format.Unpack(nil, bare[len(prefix):]); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%s: bare gave %q, %v", name, got, err)
			}
		}
	})
}

// Pieces of the dictionary, of what came before, and of noise: copies that begin and end everywhere, near and far.
func TestPackRoundTripOfPieces(t *testing.T) {
	for name, pack := range map[string]func(dst, plain []byte) []byte{"1-public": format.PackPublic, "2-private": format.PackPrivate} {
		dict, err := os.ReadFile("dict/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			var plain []byte
			for range rapid.IntRange(0, 60).Draw(t, "pieces") {
				from := dict
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
					plain = append(plain, rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "noise")...)
					continue
				case 1:
					from = plain
				}
				start := rapid.IntRange(0, len(from)).Draw(t, "start")
				end := min(start+rapid.IntRange(0, 300).Draw(t, "length"), len(from))
				if rapid.IntRange(0, 5).Draw(t, "tail") == 0 {
					start, end = max(0, len(from)-rapid.IntRange(0, 20).Draw(t, "back")), len(from)
				}
				plain = append(plain, from[start:end]...)
			}
			got, err := format.Unpack(nil, pack(nil, plain))
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%s: %q, %v", name, got, err)
			}
		})
	}
}

// The packed files are what package s2 made: what is made here takes no more.
func TestPackIsSmall(t *testing.T) {
	for _, name := range []string{"full.public", "full.private", "least.public", "least.private"} {
		pack := format.PackPublic
		if strings.HasSuffix(name, "private") {
			pack = format.PackPrivate
		}
		if got, most := len(pack(nil, read(t, name+".json"))), len(read(t, name+".packed")); got > most {
			t.Errorf("%s: %d bytes, more than %d", name, got, most)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	large := append([]byte{0}, s2.Encode(nil, make([]byte, format.MaxPart+1))...)
	packed := format.PackPrivate(nil, read(t, "full.private.json"))
	cut := packed[:len(packed)-5]
	for name, in := range map[string][]byte{
		"nothing": nil, "only a dictionary": {1}, "unknown dictionary": {77, 0}, "too large": large, "cut off": cut,
		"wrong dictionary": append([]byte{1}, packed[1:]...), "no block": {2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		got, err := format.Unpack([]byte("dst"), in)
		if name == "wrong dictionary" {
			if err == nil && bytes.Equal(got[3:], read(t, "full.private.json")) {
				t.Errorf("the dictionary does not matter")
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: unpacked to %q", name, got)
		} else if string(got) != "dst" {
			t.Errorf("%s: dst became %q", name, got)
		}
	}
}

// Packing is on the way of every append: it must not allocate when dst has room.
func TestPackDoesNotAllocate(t *testing.T) {
	plain := read(t, "full.public.json")
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { dst = format.PackPublic(dst[:0], plain) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	p := fullPublic(nil)
	if n := testing.AllocsPerRun(100, func() { dst = format.AppendPublic(dst[:0], &p) }); n > 0 {
		t.Errorf("%v allocations for the canonical bytes", n)
	}
}

// Any values, through canonical bytes and packing, come back as they were.
func TestPartsRoundTrip(t *testing.T) {
	text := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 })) // the door refuses NUL
	texts := rapid.SliceOfN(text, 1, 3)
	rapid.Check(t, func(t *rapid.T) {
		p := format.Private{
			Actor:   format.Actor{ID: text.Draw(t, "actor"), Email: text.Draw(t, "email")},
			Message: text.Draw(t, "message"), Reason: text.Draw(t, "reason"), TraceID: text.Draw(t, "trace"),
			Source: format.Source{IP: text.Draw(t, "ip")}, Resource: format.Resource{Name: text.Draw(t, "resource")},
			Related: []format.Ref{{Type: text.Draw(t, "type"), ID: text.Draw(t, "id")}}, Subjects: texts.Draw(t, "subjects"),
		}
		plain := format.AppendPrivate(nil, &p)
		unpacked, err := format.Unpack(nil, format.PackPrivate(nil, plain))
		if err != nil {
			t.Fatal(err)
		}
		got, err := format.DecodePrivate(unpacked)
		if err != nil {
			t.Fatalf("%s: %v", unpacked, err)
		}
		if again := format.AppendPrivate(nil, &got); !bytes.Equal(again, plain) {
			t.Fatalf("%s\nbecame\n%s", plain, again)
		}
		q := format.Public{ID: eventstore.EventID{1}, Type: eventstore.EntryRecorded, Action: p.Message, Roles: p.Subjects, Private: format.Commit(plain)}
		public := format.AppendPublic(nil, &q)
		back, err := format.DecodePublic(public)
		if err != nil || !bytes.Equal(format.AppendPublic(nil, &back), public) {
			t.Fatalf("%s: %+v, %v", public, back, err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add(format.PackPublic(nil, []byte(`{"v":1}`)))
	f.Add(format.PackPrivate(nil, bytes.Repeat([]byte("ab"), 500)))
	f.Add([]byte{255, 'x'})
	f.Add([]byte{0, 3, 8, 'a', 'b', 'c'})
	f.Fuzz(func(t *testing.T, packed []byte) {
		got, err := format.Unpack(nil, packed)
		if err != nil {
			return
		}
		if len(got) > format.MaxPart && packed[0] != 255 {
			t.Fatalf("%d bytes", len(got))
		}
		again, err := format.Unpack(nil, format.PackPrivate(nil, got))
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q, %v", again, err)
		}
	})
}

func FuzzDecodePublic(f *testing.F) {
	for _, name := range []string{"full.public.json", "least.public.json", "full.private.json"} {
		f.Add(read(f, name))
	}
	f.Add([]byte(`{"roles":{"a":1},"masked":7,"action":{},"v":1e0}`))
	f.Fuzz(func(t *testing.T, plain []byte) {
		if p, err := format.DecodePublic(plain); err == nil && !p.ID.IsZero() { // no writer leaves the id out
			once := format.AppendPublic(nil, &p)
			q, err := format.DecodePublic(once)
			if err != nil || !bytes.Equal(format.AppendPublic(nil, &q), once) {
				t.Fatalf("%q became %q: %v", plain, once, err)
			}
		}
		if p, err := format.DecodePrivate(plain); err == nil {
			once := format.AppendPrivate(nil, &p)
			q, err := format.DecodePrivate(once)
			if err != nil || !bytes.Equal(format.AppendPrivate(nil, &q), once) {
				t.Fatalf("%q became %q: %v", plain, once, err)
			}
		}
	})
}
