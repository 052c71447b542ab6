package faultfs

import (
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// The C structures of SQLite lie outside Go's heap and are known by address. Each open file is the system's own, with a
// table of methods in which write, sync and close are ours.
var (
	system uintptr // the VFS that all is passed to

	mu     sync.Mutex
	tables = map[uintptr]uintptr{} // the system's table → ours
	theirs = map[uintptr]uintptr{} // ours → the system's
	paths  = map[uintptr]string{}  // open file → path
)

// at is the Go view of a C structure.
func at[T any](address uintptr) *T { return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&address))) }

// function is a C function's Go view; F is its type.
func function[F any](address uintptr) F { return *(*F)(unsafe.Pointer(&struct{ uintptr }{address})) }

// address is the inverse, of a function that is declared at top level.
func address[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

type (
	openFunc  = func(tls *libc.TLS, vfs, path, file uintptr, flags int32, out uintptr) int32
	writeFunc = func(tls *libc.TLS, file, bytes uintptr, n int32, offset int64) int32
	syncFunc  = func(tls *libc.TLS, file uintptr, flags int32) int32
	closeFunc = func(tls *libc.TLS, file uintptr) int32
)

func register() error {
	tls := libc.NewTLS()
	defer tls.Close()
	if rc := sqlite3.Xsqlite3_initialize(tls); rc != sqlite3.SQLITE_OK {
		return errNoVFS
	}
	if system = sqlite3.Xsqlite3_vfs_find(tls, 0); system == 0 {
		return errNoVFS
	}
	ours := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	name, err := libc.CString("faultfs")
	if err != nil || ours == 0 {
		return errNoVFS
	}
	v := at[sqlite3.Tsqlite3_vfs](ours)
	*v = *at[sqlite3.Tsqlite3_vfs](system)
	v.FpNext, v.FzName, v.FxOpen = 0, name, address[openFunc](open)
	if rc := sqlite3.Xsqlite3_vfs_register(tls, ours, 1); rc != sqlite3.SQLITE_OK {
		return errNoVFS
	}
	return nil
}

func open(tls *libc.TLS, _, path, file uintptr, flags int32, out uintptr) int32 {
	rc := function[openFunc](at[sqlite3.Tsqlite3_vfs](system).FxOpen)(tls, system, path, file, flags, out)
	methods := at[uintptr](file) // the first field of every file
	if rc != sqlite3.SQLITE_OK || *methods == 0 {
		return rc
	}
	mu.Lock()
	defer mu.Unlock()
	*methods = table(tls, *methods)
	if path != 0 {
		paths[file] = libc.GoString(path)
	}
	return rc
}

// table is our variant of a table of the system's.
func table(tls *libc.TLS, of uintptr) uintptr {
	if ours := tables[of]; ours != 0 {
		return ours
	}
	ours := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
	m := at[sqlite3.Tsqlite3_io_methods](ours)
	*m = *at[sqlite3.Tsqlite3_io_methods](of)
	m.FxWrite, m.FxSync, m.FxClose = address[writeFunc](write), address[syncFunc](flush), address[closeFunc](closeFile)
	tables[of], theirs[ours] = ours, of
	return ours
}

// of is a file's path and the system's methods for it.
func of(file uintptr) (string, *sqlite3.Tsqlite3_io_methods) {
	mu.Lock()
	defer mu.Unlock()
	return paths[file], at[sqlite3.Tsqlite3_io_methods](theirs[*at[uintptr](file)])
}

func write(tls *libc.TLS, file, bytes uintptr, n int32, offset int64) int32 {
	path, m := of(file)
	real := function[writeFunc](m.FxWrite)
	kind, fails := disk.fails(path, false)
	if !fails {
		return real(tls, file, bytes, n, offset)
	}
	_ = real(tls, file, bytes, n/2, offset) // what it says is overruled
	if kind == NoSpace {
		return sqlite3.SQLITE_FULL
	}
	return sqlite3.SQLITE_IOERR_WRITE
}

func flush(tls *libc.TLS, file uintptr, flags int32) int32 {
	path, m := of(file)
	if _, fails := disk.fails(path, true); fails {
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	return function[syncFunc](m.FxSync)(tls, file, flags)
}

func closeFile(tls *libc.TLS, file uintptr) int32 {
	_, m := of(file)
	mu.Lock()
	delete(paths, file)
	mu.Unlock()
	return function[closeFunc](m.FxClose)(tls, file)
}
