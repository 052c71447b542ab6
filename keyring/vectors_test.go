package keyring_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"auditlog/keyring"
)

// octets are bytes written in hex.
type octets []byte

func (o *octets) UnmarshalText(text []byte) (err error) {
	*o, err = hex.DecodeString(string(text))
	return err
}

// vectors were made by a naive program in another language, from the text of the event format and of ADR 2.
type vectors struct {
	Root        octets
	Tenant      octets
	WrappingKey octets `json:"wrapping_key"`
	TokenKey    octets `json:"token_key"`
	Leaves      []struct {
		Index uint32
		Key   octets
	}
	Sealed []struct {
		Index                uint32
		Event, Plain, Sealed octets
	}
	Tokens []struct {
		Label        string
		Value, Token octets
	}
	Punctured []uint32
	Files     []struct {
		Name  string
		Bytes octets
	}
}

// constant is an endless run of one byte.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte{byte(c)}, len(p)))
	return len(p), nil
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestKnownAnswers(t *testing.T) {
	v := readVectors(t)
	dir := t.TempDir()
	tenant := [16]byte(v.Tenant)
	random := io.MultiReader(bytes.NewReader(v.WrappingKey), bytes.NewReader(v.TokenKey), bytes.NewReader(v.Root), constant(0x33))
	r := keyring.New(openFolder(t, dir), keyring.Options{MinLease: 1 << 20, MaxLease: 1 << 20, Rand: random})
	defer r.Close()
	if err := r.CreateTenant(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	for _, s := range v.Sealed {
		got, ref, err := r.Seal(t.Context(), tenant, [16]byte(s.Event), nil, s.Plain)
		if err != nil || ref != (keyring.Ref{Index: s.Index}) || !bytes.Equal(got, s.Sealed) {
			t.Errorf("seal %d: %v %x, %v", s.Index, ref, got, err)
		}
		plain, err := r.Open(t.Context(), tenant, [16]byte(s.Event), ref, nil, s.Sealed)
		if err != nil || !bytes.Equal(plain, s.Plain) {
			t.Errorf("open %d: %x, %v", s.Index, plain, err)
		}
	}
	for _, k := range v.Tokens {
		if got, err := r.Token(t.Context(), tenant, k.Label, k.Value); err != nil || !bytes.Equal(got[:], k.Token) {
			t.Errorf("token %q %q: %x, %v", k.Label, k.Value, got, err)
		}
	}
	for _, l := range v.Leaves {
		if got := keyring.LeafKey(t, r, tenant, keyring.Ref{Index: l.Index}); !bytes.Equal(got[:], l.Key) {
			t.Errorf("leaf %d as opened: %x", l.Index, got)
		}
	}
	var gone []keyring.Ref
	for _, index := range v.Punctured {
		gone = append(gone, keyring.Ref{Index: index})
	}
	if err := r.Puncture(t.Context(), tenant, gone); err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Files {
		got, err := os.ReadFile(filepath.Join(dir, uuid.UUID(tenant).String(), f.Name))
		if err != nil || !bytes.Equal(got, f.Bytes) {
			t.Errorf("file %s: %x, %v", f.Name, got, err)
		}
	}
}

// TestLeaseHandsOutEveryLeaf walks a whole epoch with the stack that Seal uses.
func TestLeaseHandsOutEveryLeaf(t *testing.T) {
	v := readVectors(t)
	next := keyring.Leaves([32]byte(v.Root), 20)
	at := uint32(0)
	for _, l := range v.Leaves {
		var ref keyring.Ref
		var key [32]byte
		for ; at <= l.Index; at++ {
			if ref, key = next(); ref.Index != at {
				t.Fatalf("leaf %d came at %d", ref.Index, at)
			}
		}
		if !bytes.Equal(key[:], l.Key) {
			t.Errorf("leaf %d as leased: %x", l.Index, key)
		}
	}
}

// TestLeaseKeepsNothingToTheLeft derives all that follows from what a lease still holds in memory.
func TestLeaseKeepsNothingToTheLeft(t *testing.T) {
	var root [32]byte
	rand.Read(root[:])
	for handedOut := range 33 {
		for _, index := range keyring.LeavesStillHeld(root, 5, handedOut) {
			if index < uint32(handedOut) {
				t.Fatalf("after %d leaves the lease still derives leaf %d", handedOut, index)
			}
		}
	}
}
