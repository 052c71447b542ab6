// Package mutants builds each seeded bug of internal/mutant and runs the test that must catch it: a test that never failed
// shows nothing (invariant I0).
package mutants
