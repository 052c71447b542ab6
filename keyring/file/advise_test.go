package file

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// The whole path cannot be tested by a test that may run as root, whom permissions do not stop.
func TestPermissionErrorsSayWhatToDo(t *testing.T) {
	err := advise(&fs.PathError{Op: "open", Path: "/srv/keys/master.key", Err: syscall.EACCES})
	for _, want := range []string{"/srv/keys/master.key", "permission denied", "must own the key folder"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}
