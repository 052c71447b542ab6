// Package keyring seals the private part of every event under a key of its own and can destroy one such key without
// touching the others, although no key is stored per event.
//
// The keys of a tenant are the leaves of binary trees (Goldreich–Goldwasser–Micali) of 2^20 leaves, one tree per key
// epoch; see "Keys without a row per entry" in the event format. What is guaranteed:
//
//   - No (epoch, index) is handed out twice, across goroutines, processes and crashes: a range of indexes is leased by
//     one durable counter update before its first use, and what a crash leaves unused is wasted. Sealing uses a fixed
//     nonce and rests on this.
//   - When Puncture has returned, no call of this Ring opens the punctured messages, and the store behind it holds no
//     seed from which their keys follow. Every other message stays readable, also when the process dies half way: then
//     each punctured message is either still readable or gone, and puncturing again finishes.
//   - A process keeps, of a lease, only the seeds to the right of the last index handed out.
//
// What is not guaranteed: another process's Ring may open a punctured message from its cache until it is told (Forget)
// or its cache grows older than Options.CacheAge. An old copy of the store opens what was punctured after it was taken,
// and a restored one would hand out indexes again: see StartEpoch.
//
// A Ring is safe for concurrent use. It sits above a small Driver, which stores sealed bytes and knows no trees.
package keyring
