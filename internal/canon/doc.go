// Package canon reads strict JSON and writes canonical JSON: what is hashed, sealed and proved passes through it once.
//
// Parse accepts one JSON text (RFC 8259) under the stricter rules of I-JSON (RFC 7493): UTF-8 without a byte order mark,
// no key twice in an object (by default also not in another case), no lone surrogates, no NUL, and only numbers that a double keeps
// exactly as written and that lie within ±(2^53 − 1). So a value that was accepted is never rounded or repaired, and its
// canonical form (RFC 8785) is itself accepted and canonical. Of several problems the first in input order is reported,
// as a *fault.Error whose words never echo input; its pointer does name the keys that lead to the place.
//
// Parsing is one pass without recursion and takes time linear in the input, whatever the input: depth is bounded, and
// keys of large objects are told apart by a seeded hash. The tree refers to the input and comes from a pool; nothing
// taken from a Doc, save copies made by Text and AppendCanonical, may be used after its Release. Until then any number of
// goroutines may read it.
package canon
