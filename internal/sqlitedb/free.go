package sqlitedb

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// minFree is the room below which a failure to open is put down to a full disk: a new file with its log and shared memory
// needs about so much, and SQLite then says "disk I/O error".
const minFree = 256 << 10

// freeBytes is the room that an unprivileged process finds on the file system of a path.
func freeBytes(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail * uint64(s.Bsize)), nil
}
