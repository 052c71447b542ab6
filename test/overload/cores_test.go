package overload

import (
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// cores are the CPU that the service has for itself and the one of everything else that this test runs. PostgreSQL runs
// where it likes.
type cores struct{ service, others unix.CPUSet }

// takeCores moves this process to the last of the CPUs that it may use, and keeps the first for the service. With a single
// one, both are on it.
func takeCores(t *testing.T) (c cores, apart bool) {
	t.Helper()
	var all unix.CPUSet
	fatal(t, unix.SchedGetaffinity(0, &all))
	first, last := -1, 0
	for cpu := range 64 * len(all) {
		if all.IsSet(cpu) {
			last = cpu
			if first < 0 {
				first = cpu
			}
		}
	}
	c.service.Set(first)
	c.others.Set(last)
	pinAll(t, &c.others)
	t.Cleanup(func() { pinAll(t, &all) })
	return c, first != last
}

// pinAll moves every thread of this process; those to come are made by one of them.
func pinAll(t *testing.T, to *unix.CPUSet) {
	threads, err := os.ReadDir("/proc/self/task")
	fatal(t, err)
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		fatal(t, err)
		if err := unix.SchedSetaffinity(id, to); err != nil && err != unix.ESRCH { // it has ended
			t.Fatal(err)
		}
	}
}

// onServiceCore runs f on the service's CPU: a process that f starts stays there, with as many threads for Go code.
func (c *cores) onServiceCore(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fatal(t, unix.SchedSetaffinity(0, &c.service))
	defer func() { fatal(t, unix.SchedSetaffinity(0, &c.others)) }()
	f()
}
