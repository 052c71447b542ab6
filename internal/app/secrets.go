package app

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"auditlog/transport/httpapi/auth"
)

// SigningSecret is what signs tokens: the configured one, or that of the data dir, made when there is none.
func (c Config) SigningSecret() ([]byte, error) {
	c = c.withDefaults()
	if c.JWTSecret != "" {
		return []byte(c.JWTSecret), nil
	}
	secret, err := auth.LoadOrCreateSecret(c.DataDir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setDataDir, err)
	}
	return secret, nil
}

// cursorSecret is derived, so that cursors need no file of their own; a new token secret makes old cursors invalid, and
// they live for 24 hours anyway.
func cursorSecret(jwt []byte) (key [32]byte, err error) {
	b, err := hkdf.Key(sha256.New, jwt, nil, "auditlog/cursor/v1", len(key))
	copy(key[:], b)
	return key, err
}
