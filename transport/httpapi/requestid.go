package httpapi

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

// maxRequestID bounds a client's X-Request-ID, in bytes: it is stored with entries.
const maxRequestID = 128

// clientRequestID is the one X-Request-ID of 1 to 128 visible ASCII characters; "" when there is none such.
func clientRequestID(h http.Header) string {
	values := h["X-Request-Id"]
	if len(values) != 1 || len(values[0]) > maxRequestID || !visibleASCII(values[0]) {
		return ""
	}
	return values[0]
}

// visibleASCII tells whether s is one or more characters from ! to ~.
func visibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// traceID is the trace-id of the one traceparent header (W3C Trace Context §3.2); "" when there is none that is valid.
func traceID(h http.Header) string {
	values := h["Traceparent"]
	if len(values) != 1 {
		return ""
	}
	v := values[0]
	if len(v) < 55 || (len(v) > 55 && (v[:2] == "00" || v[55] != '-')) || v[2] != '-' || v[35] != '-' || v[52] != '-' || v[:2] == "ff" {
		return ""
	}
	if !lowerHex(v[:2]) || !lowerHex(v[3:35]) || !lowerHex(v[36:52]) || !lowerHex(v[53:55]) || allZero(v[3:35]) || allZero(v[36:52]) {
		return ""
	}
	return v[3:35]
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}

func allZero(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}
