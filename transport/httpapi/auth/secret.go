package auth

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SecretFile is the name of the generated secret in the data dir.
const SecretFile = "jwt.secret"

// LoadOrCreateSecret reads dir's secret, or makes one of 32 random bytes that only the owner can read. The secret is the
// file's text itself, so that it can be pasted where a secret is configured. Two processes that start together agree:
// the file appears whole or not at all, and the first wins.
func LoadOrCreateSecret(dir string) ([]byte, error) {
	path := filepath.Join(dir, SecretFile)
	secret, err := readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := createSecret(dir, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create the JWT secret: %w", err)
	}
	return readSecret(path)
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the JWT secret: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("the JWT secret %s can be read by others (mode %04o): chmod 600 it, or remove it to have a new one made", path, mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the JWT secret: %w", err)
	}
	secret := bytes.TrimSpace(text)
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the JWT secret in %s has %d bytes; it needs %d", path, len(secret), MinSecret)
	}
	return secret, nil
}

// createSecret writes a temporary file and links it to path, which fails with fs.ErrExist when another was first.
func createSecret(dir, path string) (err error) {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, SecretFile+".*") // 0600 by its contract
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(random[:]) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
