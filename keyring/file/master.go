package file

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	masterName = "master.key"
	masterSize = 32
)

// master is the key that wraps the tenants' secrets.
type master struct {
	mu   sync.Mutex // guards aead
	aead cipher.AEAD
}

// masterKey reads the folder's master key, or makes it in a folder without tenants. The lock makes one of several
// processes that start at once the maker.
func masterKey(dir string) (*master, error) {
	path := filepath.Join(dir, masterName)
	key, err := readMaster(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeMaster(dir, path); err == nil {
			key, err = readMaster(path)
		}
	}
	if err != nil {
		return nil, advise(err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &master{aead: aead}, nil
}

func readMaster(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): chmod 600 it, and if others did read it, treat its keys as known",
			path, info.Mode().Perm())
	}
	key, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	if len(key) != masterSize {
		return nil, fmt.Errorf("%s holds %d bytes, want %d: restore it from a backup, nothing can be read without it",
			path, len(key), masterSize)
	}
	return key, nil
}

// masterWait bounds the wait for another process that makes the key at the same moment.
const masterWait = 10 * time.Second

func makeMaster(dir, path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), masterWait)
	defer cancel()
	held, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer held.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err // nil: another process made it
	}
	orphans, err := filepath.Glob(filepath.Join(dir, "*", "secrets"))
	if err != nil {
		return err
	}
	if len(orphans) > 0 {
		return fmt.Errorf("%s is missing but there are keys of %d tenants that only it opens: restore it from a backup", path, len(orphans))
	}
	key := make([]byte, masterSize)
	defer clear(key)
	rand.Read(key) // never fails
	return replace(path, key, false)
}

func (m *master) get() (cipher.AEAD, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.aead == nil {
		return nil, errors.New("key folder: closed")
	}
	return m.aead, nil
}

func (m *master) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.aead = nil
}

// boundTo is what a tenant's wrapped secrets are bound to.
func boundTo(tenant [16]byte) []byte { return append([]byte("auditlog/secrets/v1"), tenant[:]...) }

// Wrap seals the secret under master.key.
func (d *Driver) Wrap(_ context.Context, tenant [16]byte, secret []byte) ([]byte, error) {
	aead, err := d.master.get()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, secret, boundTo(tenant)), nil
}

// Unwrap opens what Wrap made for the same tenant.
func (d *Driver) Unwrap(_ context.Context, tenant [16]byte, wrapped []byte) ([]byte, error) {
	aead, err := d.master.get()
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, nil, wrapped, boundTo(tenant))
	if err != nil {
		return nil, fmt.Errorf("damaged, or wrapped by another key than %s", filepath.Join(d.dir, masterName))
	}
	return secret, nil
}
