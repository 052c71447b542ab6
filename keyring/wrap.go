package keyring

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// MinSecret is the least length of WrapBySecret's secret, in bytes.
const MinSecret = 32

// WrapBySecret is a Wrapper for drivers that keep no key of their own: AES-256-GCM with random nonces, bound to the
// tenant, under a key made from an operator's secret by HKDF-SHA256 (RFC 5869). Whoever loses the secret loses every
// private part, so it is kept like one, apart from the database and its backups.
func WrapBySecret(secret []byte) (Wrapper, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the secret has %d bytes; it needs at least %d", len(secret), MinSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "auditlog/wrap/v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return bySecret{aead}, err
}

type bySecret struct{ aead cipher.AEAD }

func wrapBound(tenant [16]byte) []byte { return append([]byte("auditlog/secrets/v1"), tenant[:]...) }

func (w bySecret) Wrap(_ context.Context, tenant [16]byte, secret []byte) ([]byte, error) {
	return w.aead.Seal(nil, nil, secret, wrapBound(tenant)), nil
}

func (w bySecret) Unwrap(_ context.Context, tenant [16]byte, wrapped []byte) ([]byte, error) {
	secret, err := w.aead.Open(nil, nil, wrapped, wrapBound(tenant))
	if err != nil {
		return nil, errors.New("damaged, or wrapped by another secret than the one that was given")
	}
	return secret, nil
}
