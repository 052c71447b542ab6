package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"auditlog/internal/fault"
)

// problem is a problem document (RFC 9457).
type problem struct {
	Type     string         `json:"type" doc:"/problems/ and the most specific slug" example:"/problems/unknown-field"`
	Title    string         `json:"title" doc:"the kind of problem in a few words, always the same for a type"`
	Status   int            `json:"status" doc:"the HTTP status" example:"422"`
	Detail   string         `json:"detail,omitempty" doc:"what is wrong with this request; never repeats its content"`
	Instance string         `json:"instance,omitempty" doc:"the request's id, as in the header X-Request-ID"`
	Errors   []problemField `json:"errors,omitempty" doc:"the broken rules, where there are places to name"`
}

// problemField is one broken rule.
type problemField struct {
	Code    string `json:"code" doc:"slug of the rule" example:"unknown-field"`
	Pointer string `json:"pointer" doc:"JSON pointer into the body (RFC 6901), or ?name for a parameter" example:"/actor/id"`
	Detail  string `json:"detail,omitempty"`
}

// kindProblem is what all problems of a kind share.
type kindProblem struct {
	status int
	title  string
	retry  time.Duration // Retry-After unless the error says another; 0: none
	hangUp bool          // the rest of the request is not read: the connection closes
}

var kindProblems = map[fault.Kind]kindProblem{
	fault.Internal:          {status: 500, title: "Internal error"},
	fault.Malformed:         {status: 400, title: "Malformed request"},
	fault.DuplicateKey:      {status: 400, title: "Duplicate key in JSON object"},
	fault.BadUTF8:           {status: 400, title: "Text is not UTF-8"},
	fault.BadCursor:         {status: 400, title: "Cursor not valid"},
	fault.BadID:             {status: 400, title: "Id not valid"},
	fault.BadIdempotencyKey: {status: 400, title: "Idempotency key not valid"},
	fault.TenantRequired:    {status: 400, title: "Tenant required"},
	fault.Unauthenticated:   {status: 401, title: "Authentication required"},
	fault.Forbidden:         {status: 403, title: "Not allowed"},
	fault.TenantMismatch:    {status: 403, title: "Tenant differs from the credential's"},
	fault.TenantInactive:    {status: 403, title: "Tenant not active"},
	fault.RetentionFloor:    {status: 403, title: "Younger than the retention floor"},
	fault.BadOrigin:         {status: 403, title: "Origin not allowed"},
	fault.NotFound:          {status: 404, title: "Not found"},
	fault.Method:            {status: 405, title: "Method not allowed"},
	fault.NotAcceptable:     {status: 406, title: "No acceptable representation"},
	fault.Timeout:           {status: 408, title: "Request took too long to arrive", hangUp: true},
	fault.Conflict:          {status: 409, title: "Conflict"},
	fault.InFlight:          {status: 409, title: "The same request is still in progress", retry: time.Second},
	fault.Erased:            {status: 409, title: "Entry erased"},
	fault.LegalHold:         {status: 409, title: "Under legal hold"},
	fault.NotSealed:         {status: 409, title: "Not sealed yet"},
	fault.CursorExpired:     {status: 410, title: "Cursor expired"},
	fault.Purged:            {status: 410, title: "Removed by retention"},
	fault.TooLarge:          {status: 413, title: "Too large", hangUp: true},
	fault.MediaType:         {status: 415, title: "Media type not supported"},
	fault.UpgradeRequired:   {status: 426, title: "Upgrade required"},
	fault.HeadersTooLarge:   {status: 431, title: "Headers too large", hangUp: true},
	fault.Invalid:           {status: 422, title: "Rules broken"},
	fault.UnknownField:      {status: 422, title: "Unknown field"},
	fault.ReadOnlyField:     {status: 422, title: "Field is set by the server"},
	fault.UnknownParameter:  {status: 422, title: "Unknown parameter"},
	fault.NumberRange:       {status: 422, title: "Number out of range"},
	fault.TooDeep:           {status: 422, title: "Nested too deep"},
	fault.OutsideWindow:     {status: 422, title: "Time outside the accepted window"},
	fault.KeyReuse:          {status: 422, title: "Idempotency key used for another body"},
	fault.QueryTooCostly:    {status: 422, title: "Query too costly"},
	fault.TooManyBuckets:    {status: 422, title: "Too many buckets"},
	fault.RateLimited:       {status: 429, title: "Too many requests", retry: time.Second},
	fault.Overloaded:        {status: 503, title: "Overloaded", retry: time.Second},
	fault.Unavailable:       {status: 503, title: "Temporarily unavailable", retry: time.Second},
	fault.Clock:             {status: 503, title: "Clock behind the log", retry: 5 * time.Second},
	fault.Behind:            {status: 504, title: "Not caught up yet"},
}

// answerTo is the only place where an error becomes a response.
func answerTo(err error) (problem, *fault.Error, kindProblem) {
	f := faultOf(err)
	kind := kindProblems[f.Kind]
	p := problem{Type: "/problems/" + f.Kind.String(), Title: kind.title, Status: kind.status}
	if f.Kind == fault.Internal {
		p.Detail = "the request failed on our side; the logs have the reason under this instance"
		return p, f, kind
	}
	p.Detail = f.Detail
	for _, field := range f.Fields {
		p.Errors = append(p.Errors, problemField{Code: field.Kind.String(), Pointer: field.Pointer, Detail: field.Detail})
	}
	if f.RetryAfter > 0 {
		kind.retry = f.RetryAfter
	}
	return p, f, kind
}

// faultOf finds a kind for errors of the libraries below; what is not known is Internal.
func faultOf(err error) *fault.Error {
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	var router *echo.HTTPError // 404, 405: never reached a handler of ours
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &router) && router.Code == http.StatusNotFound:
		return fault.New(fault.NotFound, "there is nothing at this path")
	case errors.As(err, &router) && router.Code == http.StatusMethodNotAllowed:
		return errMethod
	case errors.As(err, &large):
		return fault.Newf(fault.TooLarge, "the body has more than %d bytes", large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.Wrap(fault.Timeout, err, "the body did not arrive in time")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fault.Wrap(fault.Unavailable, err, "the request was not finished in time; its outcome is unknown, and an idempotency key makes a retry safe")
	}
	return &fault.Error{Kind: fault.Internal, Cause: err}
}

// writeProblem answers with the problem document of err. It returns the status.
func writeProblem(w http.ResponseWriter, requestID string, err error) int {
	p, _, kind := answerTo(err)
	p.Instance = requestID
	body, encodeErr := json.Marshal(p)
	if encodeErr != nil {
		panic(encodeErr) // strings and numbers only
	}
	h := w.Header()
	if kind.retry > 0 {
		h.Set("Retry-After", seconds(kind.retry))
	}
	if l, ok := errors.AsType[*limited](err); ok {
		kind.hangUp = l.hangUp
		if l.quota != nil {
			writeQuota(h, l.quota, kind.retry)
		}
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if kind.hangUp {
		h.Set("Connection", "close")
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Del("Content-Disposition")
	h.Del("Trailer")
	h.Del("Location")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that is gone needs no answer
	return p.Status
}
