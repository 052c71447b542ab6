// Package cloudtrail turns records of AWS CloudTrail into entries of this service's HTTP contract. The mapping is told
// field by field in docs/cloudtrail.md.
//
// Nothing is lost: whatever of a record is not carried unchanged by a field of the entry stays, as it was, in metadata.
// Nothing is made up either: a field that the record does not fill is absent, and a value that breaks a rule of the
// field (too long, control characters) stays in metadata alone. What then still breaks a rule of the contract is the
// server's to refuse.
//
// The same record always gives the same bytes, so that its idempotency key, "cloudtrail:" and the record's eventID, makes
// every import of it after the first a replay.
package cloudtrail
