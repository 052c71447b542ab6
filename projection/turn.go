package projection

import "sync"

// turn is a lock that is held while something is applied, so for long. Those who wait get it in the order in which they
// came. Its zero value is free.
//
// It is no sync.Mutex because those who wait for it wait for I/O, and testing/synctest moves its clock on while they do:
// it regards who waits at a Mutex as running.
type turn struct {
	once sync.Once
	held chan struct{}
}

func (t *turn) Lock() {
	t.once.Do(func() { t.held = make(chan struct{}, 1) })
	t.held <- struct{}{}
}

func (t *turn) Unlock() { <-t.held }
