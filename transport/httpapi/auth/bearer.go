package auth

import (
	"net/http"
	"strings"

	"auditlog/internal/fault"
)

// maxToken bounds a token before anything looks at it, in bytes.
const maxToken = 8 << 10

// refused is the one answer to every credential that is not good enough: it must not tell an attacker how close he was.
func refused(cause error) error {
	return fault.Wrap(fault.Unauthenticated, cause, "a valid bearer token is required")
}

// Bearer is the token of the one Authorization header (RFC 6750 §2.1). Tokens anywhere else are not looked for.
func Bearer(h http.Header) (string, error) {
	values := h["Authorization"]
	if len(values) != 1 {
		return "", refused(errorf("%d Authorization headers", len(values)))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", refused(errorf("not a bearer credential"))
	}
	if len(token) > maxToken {
		return "", refused(errorf("token of %d bytes", len(token)))
	}
	return token, nil
}
