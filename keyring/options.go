package keyring

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"
)

// Options tune a Ring. The zero value is the recommended one.
type Options struct {
	// MinLease and MaxLease bound how many leaves one lease takes; powers of two, at most 2^20. A lease begins at
	// MinLease and grows while leases are used up quickly. Defaults 64 and 16,384.
	MinLease, MaxLease int

	// CachedChunks bounds the decrypted chunks kept for Open, at most about 2.2 KiB each. Default 1,024.
	CachedChunks int

	// CachedPaths bounds the tree paths kept for Open, so that neighbours cost two hashes instead of twenty; about 300
	// bytes each, each serves 64 neighbouring leaves. Default 1,024.
	CachedPaths int

	// CacheAge is how long Open may answer from what it has read of a tenant before it reads again; it bounds how long a
	// puncture by another process can go unnoticed when nobody calls Forget. Default one minute.
	CacheAge time.Duration

	// Rand gives keys and nonces; default crypto/rand.Reader. Now is the clock by which leases grow and caches age;
	// default time.Now. Both are for tests.
	Rand io.Reader
	Now  func() time.Time
}

// Validate names every field that is out of its bounds.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	for _, f := range []struct {
		name string
		n    int
	}{{"MinLease", o.MinLease}, {"MaxLease", o.MaxLease}} {
		if f.n < 1 || f.n > 1<<20 || f.n&(f.n-1) != 0 {
			errs = append(errs, fmt.Errorf("%s is %d, must be a power of two from 1 to 1048576", f.name, f.n))
		}
	}
	if o.MinLease > o.MaxLease {
		errs = append(errs, fmt.Errorf("MinLease %d exceeds MaxLease %d", o.MinLease, o.MaxLease))
	}
	if o.CachedChunks < 1 {
		errs = append(errs, fmt.Errorf("CachedChunks is %d, must be at least 1", o.CachedChunks))
	}
	if o.CachedPaths < 1 {
		errs = append(errs, fmt.Errorf("CachedPaths is %d, must be at least 1", o.CachedPaths))
	}
	if o.CacheAge < 0 {
		errs = append(errs, fmt.Errorf("CacheAge is %v, must not be negative", o.CacheAge))
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	if o.MinLease == 0 {
		o.MinLease = 1 << 6
	}
	if o.MaxLease == 0 {
		o.MaxLease = max(1<<14, o.MinLease)
	}
	if o.CachedChunks == 0 {
		o.CachedChunks = 1024
	}
	if o.CachedPaths == 0 {
		o.CachedPaths = 1024
	}
	if o.CacheAge == 0 {
		o.CacheAge = time.Minute
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}
