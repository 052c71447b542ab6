// Package auth turns an Authorization header into a Principal, or refuses it.
//
// A token is believed only when its algorithm is on the list, its signature fits, it names this service as audience and
// the configured issuer, the clock is inside its life, and that is at most 24 hours (RFC 7519, RFC 8725). Headers that
// ask the verifier to fetch or trust a key (jwk, jku, x5u, x5c, kid, crit) are refused unread, so that no token can make
// the service read a file, a table or the network. Every refusal is fault.Unauthenticated with the same words; why is in
// the cause, for the logs.
//
// Roles are compared exactly; an unknown role grants nothing and is no error.
package auth
