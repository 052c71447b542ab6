// Package storm holds the test of idempotency under a storm of retries: many clients send the same keys to several write
// sides of one store, are cut off, lose answers, and live through restarts. Each key is stored once, and all its answers
// are alike, on every store.
package storm
