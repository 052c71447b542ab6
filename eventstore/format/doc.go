// Package format gives the stored bytes of an event their meaning: event format version 1 (docs/event-format.md).
//
// An event has a public part, which outlives its content, and a private part, which can be made unreadable for good.
// Both are RFC 8785 canonical JSON; absent fields are left out. The public part commits to the private one by
// "private" = base64url(SHA-256(private bytes)), and the private part starts from a 16-byte salt so that the hash
// confirms no guess. What is hashed and proved is always the plain bytes; what is stored is packed (one byte naming a
// dictionary of this binary, then an S2 block), and the private part is sealed after packing (package keyring).
//
// Nothing here does I/O. Decoders accept only what the encoders write, in any key order, and ignore unknown keys of a
// later minor writer; they fail on bytes that are not canonical JSON objects.
package format
