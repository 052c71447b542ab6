// Package fault is the small vocabulary of errors that all layers share.
//
// A Kind says what the caller can do about an error; its name is the slug under which the HTTP contract shows it
// (RFC 9457 problem type "/problems/<slug>"). An error that carries no Kind is Internal: our defect or a broken
// dependency, whose cause stays in the logs.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind classifies an error by what its receiver can do. The zero Kind is Internal.
type Kind uint8

// The kinds, in the order of the table "Problems" of the HTTP contract.
const (
	Internal Kind = iota // 500: our defect, or a dependency's; the cause is logged, never shown

	Malformed         // 400: cannot be parsed, or is not the JSON object that is due
	DuplicateKey      // 400: one key twice in an object, also when only the case differs
	BadUTF8           // 400: bytes that are not UTF-8, or a lone surrogate escape
	BadCursor         // 400: a cursor that was altered, is another tenant's, or belongs to another query
	BadID             // 400: an id that is not a canonical lower-case UUID
	BadIdempotencyKey // 400: not 1 to 255 visible ASCII characters
	TenantRequired    // 400: a platform admin who names no tenant

	Unauthenticated // 401
	Forbidden       // 403
	TenantMismatch  // 403: X-Tenant-ID differs from the credential's tenant
	TenantInactive  // 403
	RetentionFloor  // 403: younger than the retention floor
	BadOrigin       // 403: WebSocket from a page of another origin

	NotFound      // 404: absent, or another tenant's: deliberately one answer
	Method        // 405
	NotAcceptable // 406
	Timeout       // 408

	Conflict  // 409: e.g. the tenant's slug is taken
	InFlight  // 409: a twin with the same idempotency key has not finished
	Erased    // 409: the entry was erased
	LegalHold // 409
	NotSealed // 409: no checkpoint covers the entry yet

	CursorExpired // 410
	Purged        // 410: removed by retention

	TooLarge        // 413
	MediaType       // 415
	UpgradeRequired // 426
	HeadersTooLarge // 431

	Invalid          // 422: several rules, or one that has no slug of its own
	UnknownField     // 422
	ReadOnlyField    // 422: a field that only the server sets
	UnknownParameter // 422
	NumberRange      // 422: a number that RFC 8785 cannot carry unchanged
	TooDeep          // 422
	OutsideWindow    // 422: occurred_at before 1970 or more than 5 minutes ahead
	KeyReuse         // 422: the idempotency key was used with another body
	QueryTooCostly   // 422
	TooManyBuckets   // 422

	RateLimited // 429
	Overloaded  // 503: refused before anything was stored; safe to retry
	Unavailable // 503: a dependency does not answer
	Clock       // 503: the store's newest event is ahead of the clock
	Behind      // 504: a projection did not reach the wanted position in time

	kinds // count of kinds
)

var slugs = [kinds]string{
	Internal: "internal", Malformed: "malformed", DuplicateKey: "duplicate-key", BadUTF8: "bad-utf8", BadCursor: "bad-cursor", BadID: "bad-id",
	BadIdempotencyKey: "bad-idempotency-key", TenantRequired: "tenant-required", Unauthenticated: "unauthenticated", Forbidden: "forbidden",
	TenantMismatch: "tenant-mismatch", TenantInactive: "tenant-inactive", RetentionFloor: "retention-floor", BadOrigin: "bad-origin",
	NotFound: "not-found", Method: "method", NotAcceptable: "not-acceptable", Timeout: "timeout", Conflict: "conflict", InFlight: "in-flight",
	Erased: "erased", LegalHold: "legal-hold", NotSealed: "not-sealed", CursorExpired: "cursor-expired", Purged: "purged", TooLarge: "too-large",
	MediaType: "media-type", UpgradeRequired: "upgrade-required", HeadersTooLarge: "headers-too-large", Invalid: "invalid", UnknownField: "unknown-field",
	ReadOnlyField: "read-only-field", UnknownParameter: "unknown-parameter", NumberRange: "number-range", TooDeep: "too-deep",
	OutsideWindow: "outside-window", KeyReuse: "key-reuse", QueryTooCostly: "query-too-costly", TooManyBuckets: "too-many-buckets",
	RateLimited: "rate-limited", Overloaded: "overloaded", Unavailable: "unavailable", Clock: "clock", Behind: "behind",
}

// String is the kind's slug, e.g. "not-found".
func (k Kind) String() string {
	if k >= kinds {
		return fmt.Sprintf("kind-%d", uint8(k))
	}
	return slugs[k]
}

// Kinds lists every kind, for tests that must walk them all.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Field is one broken rule: where, and what to do about it.
type Field struct {
	Kind    Kind   // shown as errors[].code
	Pointer string // RFC 6901 JSON pointer into the body, or "?name" for a query parameter
	Detail  string // for the client; never echoes input
}

// Error is an error whose kind and words are meant for the client. Cause is for the logs alone.
type Error struct {
	Kind       Kind
	Detail     string
	Fields     []Field
	RetryAfter time.Duration // > 0: when a retry may succeed (Retry-After)
	Cause      error
}

// New makes an error with a detail written for the client.
func New(kind Kind, detail string) *Error { return &Error{Kind: kind, Detail: detail} }

// Newf is New with a formatted detail. Never format raw input into it.
func Newf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// Wrap keeps a cause for the logs behind a kind and a detail for the client.
func Wrap(kind Kind, cause error, detail string) *Error {
	return &Error{Kind: kind, Detail: detail, Cause: cause}
}

// At makes an error about one place of the input: Kind and Detail of the whole are those of the field.
func At(kind Kind, pointer, detail string) *Error {
	return &Error{Kind: kind, Detail: detail, Fields: []Field{{Kind: kind, Pointer: pointer, Detail: detail}}}
}

// Of joins broken rules into one error: a single one keeps its own kind, several become Invalid. It returns nil for none.
func Of(fields []Field) error {
	switch len(fields) {
	case 0:
		return nil
	case 1:
		return &Error{Kind: fields[0].Kind, Detail: fields[0].Detail, Fields: fields}
	default:
		return &Error{Kind: Invalid, Detail: fmt.Sprintf("%d rules are broken; see errors", len(fields)), Fields: fields}
	}
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Kind.String())
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf is the kind of the outermost fault in err's chain; Internal when there is none.
func KindOf(err error) Kind {
	var f *Error
	if errors.As(err, &f) {
		return f.Kind
	}
	return Internal
}

// Is tells whether err is of the kind. A nil error is of none.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }
