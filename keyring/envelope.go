package keyring

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// envelopeVersion is the first byte of every lease and chunk as stored; nonce and AES-256-GCM ciphertext follow.
const envelopeVersion = 1

const nonceSize = 12

// errTorn is a failed authentication: damage, or a read that raced a rewrite and saw bytes being wiped.
var errTorn = errors.New("bytes do not authenticate under the tenant's wrapping key")

// context of an item: what its ciphertext is bound to, so that no item can stand in for another.
func (t *tenant) context(i Item) []byte {
	out := append(make([]byte, 0, 27), t.id[:]...)
	out = append(out, byte(i.Kind))
	out = binary.BigEndian.AppendUint32(out, i.Epoch)
	out = append(out, i.Level)
	out = binary.BigEndian.AppendUint32(out, i.Index)
	return append(out, envelopeVersion)
}

// load reads an item and opens it. Errors wrap ErrAbsent or errTorn where these are the cause.
func (r *Ring) load(ctx context.Context, t *tenant, i Item) ([]byte, error) {
	stored, err := r.driver.Get(ctx, t.id, i)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.driver.Place(t.id, i), err)
	}
	const head = 1 + nonceSize
	if len(stored) < head || stored[0] != envelopeVersion {
		return nil, fmt.Errorf("read %s: %w", r.driver.Place(t.id, i), errTorn)
	}
	plain, err := t.wrap.Open(nil, stored[1:head], stored[head:], t.context(i))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.driver.Place(t.id, i), errTorn)
	}
	return plain, nil
}

// store seals plain, wipes it, and puts it durably.
func (r *Ring) store(ctx context.Context, t *tenant, i Item, plain []byte) error {
	defer clear(plain)
	out := make([]byte, 1+nonceSize, 1+nonceSize+len(plain)+t.wrap.Overhead())
	out[0] = envelopeVersion
	if _, err := io.ReadFull(r.opts.Rand, out[1:]); err != nil {
		return fmt.Errorf("random nonce: %w", err)
	}
	out = t.wrap.Seal(out, out[1:], plain, t.context(i))
	if err := r.driver.Put(ctx, t.id, i, out); err != nil {
		return fmt.Errorf("write %s: %w", r.driver.Place(t.id, i), err)
	}
	return nil
}

func (r *Ring) loadChunk(ctx context.Context, t *tenant, i Item) (*chunk, error) {
	plain, err := r.load(ctx, t, i)
	if err != nil {
		return nil, err
	}
	c, err := decodeChunk(plain)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.driver.Place(t.id, i), err)
	}
	return c, nil
}

// aes256gcm is AES-256-GCM with 12-byte nonces under the key.
func aes256gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
