// Package faultfs makes the disk of SQLite fail at the Nth write or sync, in the process that installs it: a VFS that is
// the default one of modernc.org/sqlite, passes all to the system's, and answers as a full or a broken disk does when
// it was told to. It needs no rights and no file system of its own, so a test works wherever it can build.
//
// A write that fails has written the first half of its bytes, as a disk that fills up may. A sync that fails has synced
// nothing. The code under test is not touched: it opens files as ever.
package faultfs

import (
	"errors"
	"strings"
	"sync"
)

// Kind is how the disk fails.
type Kind int

// The kinds.
const (
	NoSpace     Kind = iota // ENOSPC: writes find the disk full
	BrokenWrite             // EIO from writes
	BrokenSync              // EIO from syncs
)

func (k Kind) String() string {
	return [...]string{"ENOSPC at write", "EIO at write", "EIO at sync"}[k]
}

// Plan is one fault to come.
type Plan struct {
	Kind    Kind
	Files   string // only files whose path holds this text; "" for all
	At      int    // at this write or sync from now on, from 1
	Lasting bool   // and at each that follows, until Heal
}

// Disk is all files that SQLite has open in this process.
type Disk struct {
	mu     sync.Mutex
	plan   Plan
	armed  bool
	seen   int // writes or syncs that the plan is about
	raised int // faults
}

var (
	install   sync.Once
	installed error
	disk      Disk
)

// Install makes the VFS the default one; files that are open already stay as they are. Doing so again gives the same disk.
func Install() (*Disk, error) {
	install.Do(func() { installed = register() })
	return &disk, installed
}

var errNoVFS = errors.New("SQLite has no default VFS")

// Arm forgets the plan before it.
func (d *Disk) Arm(p Plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plan, d.armed, d.seen, d.raised = p, true, 0, 0
}

// Raised is how many faults the plan has raised so far.
func (d *Disk) Raised() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.raised
}

// Heal ends the plan and tells how many faults it raised.
func (d *Disk) Heal() (raised int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = false
	return d.raised
}

// fails counts an operation on a file, and tells whether it is to fail.
func (d *Disk) fails(path string, sync bool) (Kind, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.plan
	if !d.armed || sync != (p.Kind == BrokenSync) || !strings.Contains(path, p.Files) {
		return 0, false
	}
	d.seen++
	if d.seen == p.At || d.seen > p.At && p.Lasting {
		d.raised++
		return p.Kind, true
	}
	return 0, false
}
