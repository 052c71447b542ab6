// Package sim runs the whole write path in one process, in virtual time, against faults drawn from a seed.
//
// Real are the appender (command.Appender), the relay (projection/relay) and the runner with its sweeper and parking
// (projection.Runner). Strict fakes stand for what other machines keep: the event store, the bus, leases and cursors, the
// read models. They answer late, fail before an effect or after it, carry out a request that its sender gave up, lose,
// double and reorder messages; processes crash between any two steps; a relay goes on after its lease went to another.
// Clients write down each call and its answer. During a schedule and after it the records are held to the invariants: I1
// to I6, I8 and I17 (see check_test.go).
//
// A seed replays exactly, because an instant of virtual time has one cause: every call to a fake takes a time of its own,
// which no other event of the schedule shares, drawn from a source of its own (clock_test.go). So nothing depends on which
// of two goroutines the Go scheduler runs first, neither on the race detector nor on the number of processors. A test runs
// seeds twice and compares everything that happened.
package sim
