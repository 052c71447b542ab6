package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	largeEntry = 4 << 10
	sizeTurns  = 5
)

// largeEntries are entries of about 4 KiB: the usual ones with notes of words and numbers in their metadata.
func largeEntries(from, count int) ([][]byte, error) {
	all, err := generate(from, count, false, arrival)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(2, uint64(from)))
	for i, e := range all {
		at := bytes.Index(e, []byte(metadataField)) + len(metadataField)
		large := append(make([]byte, 0, largeEntry), e[:at]...)
		for n := 0; len(large)+len(e)-at < largeEntry; n++ {
			large = fmt.Appendf(large, `"note_%d":"`, n)
			for range min(100, (largeEntry-len(large)-len(e)+at)/8+1) {
				large = append(append(large, noteWords[r.IntN(len(noteWords))]...), ' ')
				if r.IntN(4) == 0 {
					large = fmt.Appendf(large, "%d ", r.IntN(1_000_000))
				}
			}
			large = append(large, `",`...)
		}
		all[i] = append(large, e[at:]...)
	}
	return all, nil
}

const metadataField = `"metadata":{`

var noteWords = []string{
	"the", "request", "came", "from", "a", "device", "that", "was", "enrolled", "by", "its", "owner", "policy", "allows", "access", "until", "review",
	"changed", "field", "amount", "before", "after", "approved", "second", "factor", "session", "region", "invoice", "customer", "contract", "signed",
}

// sizes measures bulks of entries of 4 KiB beside those of 600 bytes, in turn.
func (w *writer) sizes(ctx context.Context) error {
	const kinds = 2
	var bodies [kinds][][]byte
	for n := range 5 {
		for kind, make := range [kinds]func(int, int) ([][]byte, error){entries, largeEntries} {
			e, err := make(n*bulkEntries, bulkEntries)
			if err != nil {
				return err
			}
			bodies[kind] = append(bodies[kind], bulkBody(e))
		}
	}
	rounds := min(sizeTurns, w.turns())
	each := w.each(2 * rounds) // an entry has seven times the bytes
	var took [kinds]time.Duration
	for n := range rounds + 1 {
		for kind := range took {
			one, err := bulks(w.one, bodies[kind], each)
			if err != nil {
				return err
			}
			if n > 0 { // the first turn warms up
				took[kind] += one
			}
		}
	}
	samples := rounds * each
	var perSecond, megabytes, size [kinds]float64
	for kind := range took {
		size[kind] = float64(len(bytes.Join(bodies[kind], nil))) / float64(len(bodies[kind])*bulkEntries)
		perSecond[kind] = float64(samples*bulkEntries) / took[kind].Seconds()
		megabytes[kind] = perSecond[kind] * size[kind] / 1e6
	}
	err := w.report(Line{
		Name: "bulk of 1,000 entries of 4 KiB / of 600 B, in bytes/s", Value: megabytes[1] / megabytes[0], Unit: "ratio", Least: true,
		Cache: "warm", Workers: "off", Connections: bulkConns, Samples: samples,
		Sides: map[string]float64{
			"large_entries_per_s": perSecond[1], "large_MB_per_s": megabytes[1], "large_bytes": size[1],
			"small_entries_per_s": perSecond[0], "small_MB_per_s": megabytes[0], "small_bytes": size[0],
		},
	})
	if err != nil {
		return err
	}
	return w.profiled(ctx, "bulk-4KiB", func(d time.Duration) error { return bulksFor(w.one, bodies[1], d) })
}

// bulksFor sends bulks for a while.
func bulksFor(to crowd, bodies [][]byte, d time.Duration) error {
	for deadline := time.Now().Add(d); time.Now().Before(deadline); {
		if _, err := bulks(to, bodies, 2*bulkConns); err != nil {
			return err
		}
	}
	return nil
}
