// Package history keeps what clients of the service know, call by call, and checks the service's views against it: the
// event store, the index, the statistics, a stream's capture, parked events and dead letters. Every entry that is lost, doubled, moved,
// or present although it was refused is named by its key, with the view that shows it.
//
// An entry's key is a text of the client's own that it carries in its content, so that a view can be read without trust in
// the service's ids. One key is never sent for two entries.
package history
