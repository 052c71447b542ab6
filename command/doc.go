// Package command is the write side: one file per use case.
//
// A command takes what a client sent, already parsed as strict JSON (internal/canon), checks every rule of the HTTP
// contract, makes events of it, and appends them. What it promises:
//
//   - An answer without an error means committed and flushed. An error of a kind below 500 means that nothing was stored;
//     fault.Overloaded likewise. fault.Unavailable and fault.Internal leave the outcome unknown: the idempotency key
//     makes the retry safe.
//   - A retry with the same key and the same client JSON stores nothing and yields the first answer, for ever.
//   - Positions of a tenant follow acknowledgement: what was answered before another call began has the smaller position.
//   - Leaving early (a cancelled context) never cancels what others wait for.
//
// Nothing here reads projections, and nothing here knows of HTTP.
package command
