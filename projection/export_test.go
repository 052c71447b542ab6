package projection

// Waiting is how many envelopes of shard 0 wait for their turn.
func (r *Runner) Waiting() int {
	l := &r.lanes[0]
	l.queue.Lock()
	defer l.queue.Unlock()
	return len(l.waiting)
}
