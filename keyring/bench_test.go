package keyring_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"math/rand/v2"
	"testing"

	"auditlog/keyring"
)

var private = bytes.Repeat([]byte("x"), 500)

func BenchmarkSeal(b *testing.B) {
	r := newRing(b, keyring.Options{MinLease: 1 << 14})
	dst := make([]byte, 0, len(private)+keyring.Overhead)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Seal(b.Context(), tenantA, tenantB, dst, private); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCipher is the part of sealing that no key tree can avoid.
func BenchmarkCipher(b *testing.B) {
	dst := make([]byte, 0, len(private)+keyring.Overhead)
	b.ReportAllocs()
	for b.Loop() {
		block, err := aes.NewCipher(private[:32])
		if err != nil {
			b.Fatal(err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			b.Fatal(err)
		}
		aead.Seal(dst, private[:12], private, private[:33])
	}
}

func BenchmarkOpen(b *testing.B) {
	const n = 1 << 14
	sealed := func(b *testing.B, punctures int) (*keyring.Ring, []message) {
		r := newRing(b, keyring.Options{MinLease: n})
		ms := make([]message, n)
		for i := range ms {
			var err error
			if ms[i].sealed, ms[i].ref, err = r.Seal(b.Context(), tenantA, tenantB, nil, private); err != nil {
				b.Fatal(err)
			}
		}
		if punctures > 0 {
			batch := make([]keyring.Ref, 0, punctures)
			for i := range punctures {
				batch = append(batch, keyring.Ref{Index: uint32(i * (n / punctures))})
			}
			if err := r.Puncture(b.Context(), tenantA, batch); err != nil {
				b.Fatal(err)
			}
		}
		return r, ms
	}
	run := func(b *testing.B, punctures int, order []int) {
		r, ms := sealed(b, punctures)
		dst := make([]byte, 0, len(private))
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			m := &ms[order[i%n]]
			i++
			if punctures > 0 && int(m.ref.Index)%(n/punctures) == 0 {
				continue
			}
			if _, err := r.Open(b.Context(), tenantA, tenantB, m.ref, dst, m.sealed); err != nil {
				b.Fatal(err)
			}
		}
	}
	inOrder := make([]int, n)
	for i := range inOrder {
		inOrder[i] = i
	}
	shuffled := rand.New(rand.NewPCG(1, 1)).Perm(n)
	b.Run("sequential", func(b *testing.B) { run(b, 0, inOrder) })
	b.Run("shuffled", func(b *testing.B) { run(b, 0, shuffled) })
	b.Run("sequential-punctured", func(b *testing.B) { run(b, 512, inOrder) })
}

func BenchmarkToken(b *testing.B) {
	r := newRing(b, keyring.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Token(b.Context(), tenantA, "actor", private[:20]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPuncture(b *testing.B) {
	r := newRing(b, keyring.Options{MinLease: 1 << 20, MaxLease: 1 << 20})
	sealN(b, r, 1)
	random := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		if err := r.Puncture(b.Context(), tenantA, []keyring.Ref{{Index: random.Uint32N(1 << 20)}}); err != nil {
			b.Fatal(err)
		}
	}
}
