package readmodel

// Numbers remembers the numbers that tables gave to keys, so that one met again is not looked up. It must be emptied
// when rows may be gone: Effect.Forget says so after a failed transaction, the effect itself knows of its deletions. It
// belongs to one open generation and is used under a lock.
type Numbers[K comparable] struct{ known map[K]int64 }

// maxNumbers bounds what is remembered: about 6 MB of tokens.
const maxNumbers = 1 << 16

// Get is the key's number, if it is remembered.
func (n *Numbers[K]) Get(key K) (no int64, ok bool) {
	no, ok = n.known[key]
	return no, ok
}

// Put remembers a number. When there are too many all others are forgotten: those in use come back at once.
func (n *Numbers[K]) Put(key K, no int64) {
	if n.known == nil || len(n.known) >= maxNumbers {
		n.known = map[K]int64{}
	}
	n.known[key] = no
}

// Clear forgets all.
func (n *Numbers[K]) Clear() { n.known = nil }
