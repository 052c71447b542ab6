// Package linear decides whether what clients saw of a tenant's log is linearizable: whether there is one order of all
// appends and reads, in which each takes effect between its call and its return, that explains every answer. Porcupine
// searches for it; the model is a log that appends extend by their entries, at the positions that the answer names, and
// of which reads see all, or all up to a position.
package linear

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Op is one call and its answer. Entries are known by keys of the clients' own.
type Op struct {
	Client       int
	Tenant       string
	Call, Return time.Duration

	Append  []string // keys of the entries, in order; nil for a read
	At      []int64  // their positions, as acknowledged
	Unknown bool     // no answer: the append may take effect at any time after the call, or never

	// A read: the entries with position above After and at most UpTo, which is where the reader was told that they end.
	// When Whole is set, the log itself ended there at the time of the read.
	Read        []string
	After, UpTo int64
	Whole       bool
}

// first is the position of a log's first entry: position 1 is the tenant's creation.
const first = 2

// state is a log, as its newest entry and the log before it; nil is an empty one. States are never changed.
type state struct {
	before *state
	key    string
	last   int64  // position of key
	hash   uint64 // of all keys
}

func (s *state) end() int64 {
	if s == nil {
		return first - 1
	}
	return s.last
}

func (s *state) with(key string) *state {
	h := fnv.New64a()
	if s != nil {
		fmt.Fprintf(h, "%d ", s.hash)
	}
	h.Write([]byte(key))
	return &state{before: s, key: key, last: s.end() + 1, hash: h.Sum64()}
}

func step(at, in, _ any) (bool, any) {
	s, op := at.(*state), in.(*Op)
	if op.Append == nil {
		return s.reads(op), s
	}
	for i, key := range op.Append {
		s = s.with(key)
		if !op.Unknown && (i >= len(op.At) || op.At[i] != s.last) {
			return false, nil
		}
	}
	return true, s
}

// reads tells whether a read of this log may be answered so.
func (s *state) reads(op *Op) bool {
	if s.end() < op.UpTo || op.Whole && s.end() != op.UpTo || int64(len(op.Read)) != max(op.UpTo-max(op.After, first-1), 0) {
		return false
	}
	for s.end() > op.UpTo {
		s = s.before
	}
	for _, key := range slices.Backward(op.Read) {
		if s.key != key {
			return false
		}
		s = s.before
	}
	return true
}

var model = porcupine.Model{
	Init:  func() any { return (*state)(nil) },
	Step:  step,
	Equal: func(a, b any) bool { return same(a.(*state), b.(*state)) },
	Hash: func(a any) uint64 {
		if s := a.(*state); s != nil {
			return s.hash
		}
		return 0
	},
	DescribeOperation: func(in, _ any) string { return fmt.Sprintf("%+v", *in.(*Op)) },
}

func same(a, b *state) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.last == b.last && a.hash == b.hash
}

// Check decides on a history of any number of tenants. The error names the tenant whose log is not linearizable, or could
// not be decided on in the time given.
func Check(history []Op, limit time.Duration) error {
	tenants := map[string][]porcupine.Operation{}
	for i := range history {
		op := &history[i]
		o := porcupine.Operation{ClientId: op.Client, Input: op, Call: int64(op.Call), Return: int64(op.Return)}
		if op.Unknown {
			// It may also have had no effect: then its place is behind everything, where nobody looks.
			o.Return = math.MaxInt64
		}
		tenants[op.Tenant] = append(tenants[op.Tenant], o)
	}
	for tenant, ops := range tenants {
		switch porcupine.CheckOperationsTimeout(model, ops, limit) {
		case porcupine.Illegal:
			return fmt.Errorf("the log of tenant %s is not linearizable: no order of its %d calls explains their answers", tenant, len(ops))
		case porcupine.Unknown:
			return fmt.Errorf("whether the log of tenant %s (%d calls) is linearizable was not decided in %v", tenant, len(ops), limit)
		}
	}
	return nil
}
