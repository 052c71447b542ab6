// Package bus carries envelopes from the relay to the projectors: their form on a queue, and the watermill router that
// takes them in. A bus itself (in-process here, a queue service elsewhere) is a package below.
//
// A payload is text of at most MaxPayload bytes: base64 of a version byte, a kind byte, a zstd frame and a
// CRC-32C. An envelope whose events do not fit travels as a pointer, which names its range only: whoever applies it reads
// them from the store, for less than a queue costs (ADR 20). Public parts are in the open and private parts stay sealed:
// no plaintext lies on a queue or among its dead letters.
//
// Decoding accepts only what Encode writes, never panics, and fails with *projection.Poison: such a message can never
// be understood, and the sweeper brings its range from the store.
package bus
