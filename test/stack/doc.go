// Package stack runs the service for tests as its operators run it: processes of the built binary, made ready by its own
// commands, on PostgreSQL, an SQS server and OpenSearch with databases, queues and indices of the test's own. What it
// started ends with the test.
package stack
