// Package file keeps a keyring in a folder that several processes on one machine may share.
//
//	master.key                                32 random bytes that wrap every tenant's secrets
//	lock                                      held while master.key is made
//	<tenant uuid>/secrets, lease, lock        the wrapped keys, the counter, and the lock around both
//	<tenant uuid>/<epoch>/<level>-<index>.seeds
//	<tenant uuid>/<epoch>/lock                held during a puncture
//	next.tmp, prev.tmp                        in either folder: a file being written, one being wiped
//
// Folders are 0700, files 0600. A write is durable when it returns: temporary file, fsync, rename, fsync of the folder.
// When seeds are replaced or removed, the old file is overwritten with zeros and synced before its last name goes, and if
// the process dies in between, the next holder of the folder's lock does so. That is as far as a program reaches: file
// systems that copy on write, snapshots, and flash translation layers may keep old blocks.
//
// The folder must be on a local file system of a Unix: flock, rename and fsync of folders are relied on. It is not to be
// part of the event store's backups.
package file
