// Package sqs is the bus of the distributed tier: one standard queue for each destination, and a dead-letter queue
// beside it.
//
// Publish returns nil once the queue holds the whole envelope. Delivery is at least once and in any order; projectors
// are made for that. A message is deleted after its handler returned nil; until then it stays invisible to others,
// extended at half time, for as long as this process lives. A handler's error gives it back with a growing delay, and
// the queue itself moves it to the dead-letter queue after MaxReceives tries. What can never succeed goes there at once,
// with its reason in an attribute. Nothing is lost with a dead letter: the sweeper brings its range from the store.
//
// Messages carry their tenant as the group when all their events are one tenant's, so that the queue shares itself
// fairly between tenants.
//
// watermill-aws makes one call for each message and operation. Below it, in the SDK's own middleware stack, single sends,
// deletes and changes of visibility are gathered into batches, and the workers' receives are served from batches
// (docs/adr/0011-sqs-bus.md). Only calls that the real service has are used.
package sqs
