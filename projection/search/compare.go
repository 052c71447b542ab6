package search

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"auditlog/eventstore"
)

// Difference is a tenant's month of recorded_at in which two generations do not hold the same.
type Difference struct {
	Tenant   eventstore.TenantID
	Month    string // "2006-01"
	Old, New int64  // documents
}

type bucketKey struct {
	tenant eventstore.TenantID
	month  string
}

// digest is the count of documents and the XOR of their hashes.
type digest struct {
	count int64
	sum   [sha256.Size]byte
}

// suspicious counts the documents of next, and gives the buckets in which live differs from it among what both have
// applied. Live may be moving, so they are only suspects.
func suspicious(ctx context.Context, live, next *file) (documents int64, suspects []bucketKey, err error) {
	last, err := common(ctx, live, next)
	if err != nil {
		return 0, nil, err
	}
	have, err := live.digests(ctx, last)
	if err != nil {
		return 0, nil, err
	}
	want, err := next.digests(ctx, last)
	if err != nil {
		return 0, nil, err
	}
	all := maps.Clone(want)
	maps.Copy(all, have)
	for key := range all {
		documents += want[key].count
		if want[key] != have[key] {
			suspects = append(suspects, key)
		}
	}
	return documents, suspects, nil
}

// compare gives the suspects in which live and next do differ.
func compare(ctx context.Context, live, next *file, suspects []bucketKey) (out []Difference, err error) {
	last, err := common(ctx, live, next)
	if err != nil {
		return nil, err
	}
	have, err := live.digests(ctx, last)
	if err != nil {
		return nil, err
	}
	want, err := next.digests(ctx, last)
	if err != nil {
		return nil, err
	}
	for _, key := range suspects {
		if want[key] != have[key] {
			out = append(out, Difference{key.tenant, key.month, have[key].count, want[key].count})
		}
	}
	slices.SortFunc(out, func(a, b Difference) int {
		return cmp.Or(slices.Compare(a.Tenant[:], b.Tenant[:]), cmp.Compare(a.Month, b.Month))
	})
	return out, nil
}

// common is the document id up to which both have applied everything: a live file that lags is compared as far as it is.
func common(ctx context.Context, a, b *file) (int64, error) {
	last := everything
	if a.shards > 1 { // ids of several shards interleave by offset, so one id bounds no two cursors: all is compared
		return last, nil
	}
	for _, f := range []*file{a, b} {
		applied, err := f.progress(ctx, 0)
		if err != nil {
			return 0, err
		}
		last = min(last, f.id(0, applied.Cursor()))
	}
	return last, nil
}

func (f *file) digests(ctx context.Context, last int64) (map[bucketKey]digest, error) {
	out := map[bucketKey]digest{}
	var b []byte
	err := f.each(ctx, last, func(r *row) error {
		key := bucketKey{r.tenant, r.recordedAt.Time().Format("2006-01")}
		b = binary.BigEndian.AppendUint64(append(b[:0], byte(r.kind)), uint64(r.position))
		b = binary.BigEndian.AppendUint64(b, uint64(r.version))
		b = binary.BigEndian.AppendUint64(b, uint64(r.occurredAt))
		b = append(binary.BigEndian.AppendUint64(b, uint64(r.recordedAt)), r.tokens...)
		d := out[key]
		d.count++
		for i, c := range sha256.Sum256(b) {
			d.sum[i] ^= c
		}
		out[key] = d
		return nil
	})
	return out, err
}
