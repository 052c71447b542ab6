package importer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"auditlog/internal/canon"
)

// KeyPrefix of the idempotency keys that NDJSON makes; the SHA-256 of the line's canonical form follows in hexadecimal.
const KeyPrefix = "ndjson:"

// NDJSON takes a line that is an entry of the HTTP contract already. One without an idempotency_key gets one made of its
// content, so equal lines are one entry: lines that are to count each for itself need keys.
func NDJSON(dst, line []byte) ([]byte, error) {
	doc, err := canon.Parse(line, canon.Limits{FoldDepth: -1})
	if err != nil {
		return dst, err
	}
	defer doc.Release()
	root := doc.Root()
	if root.Kind() != canon.Object {
		return dst, fmt.Errorf("an entry is a JSON object")
	}
	start := len(dst)
	if key := root.Get("idempotency_key"); key.Kind() != canon.Null {
		return root.AppendCanonical(dst), nil
	}
	if root.Get("idempotency_key").Valid() {
		return dst, fmt.Errorf("idempotency_key is null: leave it out or give one")
	}
	dst = root.AppendCanonical(dst)
	sum := sha256.Sum256(dst[start:])
	dst = append(dst[:len(dst)-1], ',')
	if root.Len() == 0 {
		dst = dst[:len(dst)-1]
	}
	dst = append(append(dst, `"idempotency_key":"`...), KeyPrefix...)
	return append(hex.AppendEncode(dst, sum[:]), `"}`...), nil
}
