// Package postgres keeps a keyring in a PostgreSQL database of its own, for as many processes as wanted. What is stored is
// wrapped by the tenants' keys, and those by a keyring.Wrapper that lies elsewhere.
//
// The database must not be the event store's, nor lie in the same backups: an old copy opens what was erased after it was
// taken. Open refuses a server, database or role with fsync, full_page_writes or synchronous_commit off, since a lost
// lease counter would use keys twice.
//
// A lock is an advisory lock of a session, so it ends with the process or its connection. Put and Remove run on the
// connection that holds the lock of their item: when it breaks, and another process may have the lock, they fail. A
// pooler between this package and the server must keep sessions whole.
//
// PostgreSQL cannot overwrite a row in place. The row that a Put or Remove replaces is dead at once, and vacuumed within a
// moment by the driver; its bytes may stay in free space of the page until they are written over, and in the
// write-ahead log until it is recycled. They are ciphertext under the tenant's wrapping key. Where that is not
// enough, let the wrapper's key live in a KMS and destroy its old versions.
package postgres
